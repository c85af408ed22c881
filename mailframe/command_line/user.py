"""`mailframe user`: lists and changes the users of an auth plugin that keeps users of its own."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from .commands import Chosen, configuration_wrong
from .failures import CONFIGURATION, NO_PERMISSION, Wrong, no_such, unavailable
from .text import safe, say

if TYPE_CHECKING:
    from collections.abc import Generator

    from ..interfaces import IUserStore


@click.group("user")
@click.option(
    "--plugin-index", type=click.IntRange(1), metavar="N",
    help="Which [[auth]] section, counted from 1, if several keep users.",
)  # fmt: skip
@click.pass_context
def command(ctx: click.Context, plugin_index: int | None) -> None:
    """List and change the users who may log in."""
    ctx.meta["mailframe.plugin_index"] = plugin_index


def _password_option(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--stdin", "from_stdin", is_flag=True, help="Read the password from standard input."
    )(function)


@command.command("add")
@click.argument("name")
@_password_option
@click.pass_context
def add(ctx: click.Context, name: str, from_stdin: bool) -> None:
    """Add the user NAME; asks for the password."""
    with _users(ctx) as users:
        users.set_password(name, _new_password(from_stdin), True)
    say("added", name)


@command.command("passwd")
@click.argument("name")
@_password_option
@click.pass_context
def passwd(ctx: click.Context, name: str, from_stdin: bool) -> None:
    """Give the user NAME another password."""
    with _users(ctx) as users:
        users.set_password(name, _new_password(from_stdin), False)
    say("changed", name)


@command.command("remove")
@click.argument("name")
@click.pass_context
def remove(ctx: click.Context, name: str) -> None:
    """Remove the user NAME."""
    with _users(ctx) as users:
        users.remove(name)
    say("removed", name)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List the users."""
    with _users(ctx) as users:
        names = list(users.names())
    if as_json:
        click.echo(json.dumps(names))
    else:
        for name in names:
            say(name)


@command.command("test")
@click.argument("name")
@_password_option
@click.pass_context
def test(ctx: click.Context, name: str, from_stdin: bool) -> None:
    """Check a password of the user NAME: exit status 0 if it is right, 77 if not."""
    with _users(ctx) as users:
        right = users.test(name, _password(from_stdin))
    if not right:
        raise Wrong(f"{safe(name)} may not log in with this password", NO_PERMISSION)
    say(name, "may log in")


def _new_password(from_stdin: bool) -> str:
    if from_stdin:
        return _password(True)
    given: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return given


def _password(from_stdin: bool) -> str:
    """The first line of standard input, or what is typed without echo."""
    if not from_stdin:
        given: str = click.prompt("Password", hide_input=True, err=True)
        return given
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise click.UsageError("no password on standard input")
    return line


@contextmanager
def _users(ctx: click.Context) -> Generator[IUserStore]:
    """The user store to use; its errors are told in words."""
    users = _user_store(ctx.obj, ctx.meta["mailframe.plugin_index"])
    try:
        yield users
    except KeyError as wrong:
        raise no_such(safe(wrong.args[0] if wrong.args else "no such user")) from None
    except ValueError as wrong:
        raise click.UsageError(safe(wrong)) from None
    except PermissionError:
        raise
    except OSError as wrong:
        raise unavailable(f"{wrong.filename or 'the users'}: {wrong.strerror or wrong}") from None


def _user_store(chosen: Chosen, index: int | None) -> IUserStore:
    from ..config import ConfigErrors
    from ..host.resources import Resources
    from ..interfaces import IUserStore

    composition = chosen.composition()
    try:
        auth = Resources(composition, chosen.reactor(), time.time, {"auth"}).hooks.auth
    except ConfigErrors as wrong:
        raise configuration_wrong(chosen.path(), wrong.errors) from None
    stores = {
        number: bound.plugin
        for number, bound in enumerate(auth, 1)
        if IUserStore.providedBy(bound.plugin)
    }
    if not stores:
        raise Wrong("no [[auth]] section keeps users of its own", CONFIGURATION)
    if index is None and len(stores) > 1:
        numbers = ", ".join(map(str, stores))
        raise click.UsageError(f"several [[auth]] sections keep users: --plugin-index {numbers}")
    if index is not None and index not in stores:
        raise click.UsageError(f"[[auth]] section {index} keeps no users")
    return stores[index or next(iter(stores))]

"""The `mailframe` command: finds the configuration and the subcommand, and handles failures.

Every failure is a line on stderr and one of the exit statuses in `failures.py`, never a traceback
(MAILFRAME_TRACEBACK=1 shows it). Subcommands import what they need when they run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from .failures import BROKEN_PIPE, CONFIGURATION, NO_PERMISSION, SOFTWARE, USAGE, Wrong

if TYPE_CHECKING:
    from ..config import Composition

DEFAULTS = (Path("mailframe.toml"), Path("/etc/mailframe/mailframe.toml"))
_FILE = click.Path(path_type=Path, dir_okay=False)
_SUBCOMMANDS = ("check", "queue", "trace", "user")


@dataclass(frozen=True)
class Chosen:
    """The options before the subcommand: the configuration file, or None to look for it."""

    file: Path | None
    given_reactor: Any = None

    def reactor(self) -> Any:
        """The reactor for the work if no host runs: Twisted's own unless one is given."""
        if self.given_reactor is not None:
            return self.given_reactor
        from twisted.internet import reactor

        return reactor

    def path(self) -> Path:
        """The configuration file. Raises Wrong if there is none."""
        if self.file is not None:
            return self.file.absolute()
        for path in DEFAULTS:
            if path.exists():
                return path.absolute()
        looked = " or ".join(map(str, DEFAULTS))
        raise Wrong(
            f"no configuration: no {looked}; give one with -c FILE or MAILFRAME_CONFIG",
            CONFIGURATION,
        )

    def composition(self) -> Composition:
        """The configuration, read. Raises Wrong with every error in it."""
        from ..config import ConfigErrors, load

        path = self.path()
        try:
            return load(path)
        except ConfigErrors as wrong:
            raise configuration_wrong(path, wrong.errors) from None


def configuration_wrong(path: Path | None, errors: Sequence[object]) -> Wrong:
    """All errors of a configuration, one in a line, and their number."""
    count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
    return Wrong(f"{path}: {count}", CONFIGURATION, tuple(map(str, errors)))


class Commands(click.Group):
    """A group whose subcommands are imported when they are needed; failures have no traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _SUBCOMMANDS:
            return None
        command: click.Command = import_module(f"{__package__}.{cmd_name}").command
        _take_config(command)
        return command

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run the command and exit with its status."""
        extra["standalone_mode"] = False
        sys.exit(self._exit_code(*args, **extra))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader of our output has gone, so nothing may be written at exit either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            ctx.exit(BROKEN_PIPE)
        return result

    def _exit_code(self, *args: Any, **extra: Any) -> int:
        try:
            code = super().main(*args, **extra)
        except click.UsageError as wrong:
            wrong.show()
            return USAGE
        except click.ClickException as wrong:
            wrong.show()
            return wrong.exit_code
        except (click.Abort, KeyboardInterrupt):
            click.echo("\nmailframe: broken off", err=True)
            return 130
        except PermissionError as wrong:
            click.echo(f"mailframe: {wrong.filename or ''}: not allowed for this user", err=True)
            return NO_PERMISSION
        # The last resort: a bug in mailframe, told in one line.
        except Exception as fault:
            if os.environ.get("MAILFRAME_TRACEBACK"):
                raise
            click.echo(f"mailframe: internal error: {type(fault).__name__}: {fault}", err=True)
            click.echo("MAILFRAME_TRACEBACK=1 in the environment shows where", err=True)
            return SOFTWARE
        return code if isinstance(code, int) else 0


def _choose(ctx: click.Context, _option: click.Parameter, file: Path | None) -> None:
    """Take a configuration that is named after the subcommand."""
    if file is not None and isinstance(ctx.obj, Chosen):
        ctx.obj = replace(ctx.obj, file=file)


def _take_config(command: click.Command) -> None:
    """Let a subcommand and those below it take -c as well, with the same meaning."""
    if any("--config" in option.opts for option in command.params):
        return
    command.params.append(
        click.Option(
            ["-c", "--config"], type=_FILE, metavar="FILE", expose_value=False, callback=_choose,
            help="The configuration.",
        )
    )  # fmt: skip
    if isinstance(command, click.Group):
        for below in command.commands.values():
            _take_config(below)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-c", "--config", "file", type=_FILE,
    envvar="MAILFRAME_CONFIG", metavar="FILE",
    help="The configuration; by default ./mailframe.toml, then /etc/mailframe/mailframe.toml.",
)  # fmt: skip
@click.version_option(package_name="mailframe")
@click.pass_context
def main(ctx: click.Context, file: Path | None) -> None:
    """Look after a mailframe host. `twistd -n mailframe -c FILE` runs it."""
    ctx.obj = ctx.obj or Chosen(file)

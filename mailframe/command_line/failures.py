"""How a command fails: a line for people, and an exit status for scripts (sysexits.h)."""

from __future__ import annotations

import click

CONFIGURATION = 1  # the configuration is wrong
USAGE = 64  # EX_USAGE: the command line is wrong
NO_INPUT = 66  # EX_NOINPUT: there is no such message, user, …
UNAVAILABLE = 69  # EX_UNAVAILABLE: the host or its files cannot be reached
SOFTWARE = 70  # EX_SOFTWARE: a bug in mailframe
NO_PERMISSION = 77  # EX_NOPERM: this user may not do that, or the password is wrong
BROKEN_PIPE = 141  # as if SIGPIPE had ended us


class Wrong(click.ClickException):
    """The command ends with this line and this status; `errors` are printed first."""

    def __init__(self, message: str, code: int, errors: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]  # click declares it for the class
        self.errors = errors

    def show(self, file: object = None) -> None:
        for error in self.errors:
            click.echo(error, err=True)
        click.echo(f"mailframe: {self.message}", err=True)


def no_such(what: str) -> Wrong:
    """There is nothing of that name."""
    return Wrong(what, NO_INPUT)


def unavailable(why: str) -> Wrong:
    """The host, its store or its files cannot be reached now."""
    return Wrong(why, UNAVAILABLE)

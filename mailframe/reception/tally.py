"""Counts the commands, refusals and transactions of a session."""

from __future__ import annotations

from ..settings import Limits
from ..smtp.command import Auth, Bdat, Data, Mail, Quit, Rcpt, StartTls, Xclient
from ..smtp.event import AuthLine, ContentEnd, ContentOctets, Event, Rejected
from ..smtp.reply import TOO_MANY_COMMANDS, TOO_MANY_ERRORS, Reply

TOO_MANY_MESSAGES = Reply(421, "Too many messages in one session, connect again", "4.7.0")

#: Events that do not count as commands without mail: they bring mail or have limits of their own.
#: Everything else is counted, so that a new command is limited from the start.
_NOT_COUNTED: frozenset[type[Event]] = frozenset(
    {
        *(Mail, Rcpt, Data, Bdat, ContentOctets, ContentEnd),  # bring mail
        *(Auth, AuthLine, Rejected),  # each that fails is an error
        *(StartTls, Quit),  # come once
        Xclient,  # only from clients that the operator trusts
    }
)
_AUTH = frozenset({Auth, AuthLine})


def _is_empty(event: Event) -> bool:
    """True for a chunk without octets that is not the last one."""
    return isinstance(event, Bdat) and not event.size and not event.last


class Tally:
    """Counts commands without mail, refusals and transactions; beyond its limit each is a 421.

    An accepted message sets the first two back to 0, because a client that sends much makes errors
    too. A temporary refusal does not count as an error, with one exception: those of RCPT count
    once there are more of them since the last accepted message than a transaction may have
    recipients.
    """

    __slots__ = ("_commands", "_errors", "_limits", "_messages", "_put_off")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._commands = self._errors = self._messages = self._put_off = 0

    def command(self, event: Event) -> Reply | None:
        """Count an event; a refusal if there are too many commands without mail."""
        kind = type(event)
        if kind in _NOT_COUNTED and not _is_empty(event):
            return None
        self._commands += 1
        return TOO_MANY_COMMANDS if self._commands > self._limits.commands else None

    def message(self) -> Reply | None:
        """Count a transaction; a refusal if there are too many."""
        self._messages += 1
        return TOO_MANY_MESSAGES if self._messages > self._limits.messages else None

    def refused(self, kind: type, refusal: Reply) -> Reply:
        """Count a refusal; returns it, or the last reply if there were too many."""
        if refusal.permanent or kind in _AUTH:
            self._errors += 1
        elif kind is Rcpt:
            self._put_off += 1
            self._errors += self._put_off > self._limits.recipients
        return TOO_MANY_ERRORS if self._errors > self._limits.errors else refusal

    def accepted(self) -> None:
        """A message was accepted."""
        self._commands = self._errors = self._put_off = 0

"""The refusals of the server dialogue itself: a table for the order of commands, one for checks.

An extension whose command can be wrong in its own way is a row of CHECKS.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from .command import Auth, Bdat, Command, Data, Ehlo, Helo, Lhlo, Mail, Rcpt, StartTls, Xclient
from .event import Event, Rejected
from .offer import Offer
from .order import ORDER, State
from .reply import BAD_SEQUENCE, MESSAGE_TOO_BIG, UNKNOWN_COMMAND, Reply

EHLO_FIRST = Reply(503, "Send EHLO first", "5.5.1")
LHLO_FIRST = Reply(503, "Send LHLO first", "5.5.1")
MAIL_FIRST = Reply(503, "Send MAIL first", "5.5.1")
NO_VALID_RECIPIENTS = Reply(503, "No valid recipients", "5.5.1")
NESTED_MAIL = Reply(503, "A mail transaction is in progress", "5.5.1")
CHUNKS_ONLY = Reply(503, "Chunks have begun: only BDAT can follow", "5.5.1")
TRANSACTION_FAILED = Reply(503, "The transaction has failed: send RSET or MAIL", "5.5.1")
BINARY_NEEDS_BDAT = Reply(503, "BINARYMIME is sent by BDAT only", "5.5.1")
TLS_NOT_OFFERED = Reply(503, "STARTTLS is not offered now", "5.5.1")
AUTH_NOT_OFFERED = Reply(503, "AUTH is not offered now", "5.5.1")
ALREADY_AUTHENTICATED = Reply(503, "Already authenticated", "5.5.1")
UNKNOWN_MECHANISM = Reply(504, "Authentication mechanism not offered", "5.5.4")
AUTH_CANCELLED = Reply(501, "Authentication cancelled", "5.7.0")
NEEDS_SMTPUTF8 = Reply(553, "A non-ASCII address needs SMTPUTF8", "5.6.7")
XCLIENT_NOT_ALLOWED = Reply(550, "Insufficient authorization for XCLIENT", "5.7.0")

_SHOWN = 512  # octets of a refused line that Rejected shows


class Standing(Protocol):
    """What a check looks at: the state of the dialogue, and what has been agreed on."""

    offer: Offer
    lmtp: bool
    state: State
    authenticated: bool
    mail: Mail  # of the open transaction


def refusal(standing: Standing, command: Command) -> Reply | None:
    """The reason why this command cannot be accepted now; None if it can."""
    kind = type(command)
    if kind not in ORDER[standing.state]:
        return _out_of_order(standing, kind)
    check = _CHECKS.get(kind)
    return None if check is None else check(standing, command)


def _out_of_order(standing: Standing, kind: type[Command]) -> Reply:
    if kind is Xclient and standing.offer.xclient is None:
        return UNKNOWN_COMMAND
    if standing.lmtp and standing.state is State.START:
        return LHLO_FIRST
    if standing.state is State.SENDER and kind is not Data and kind is not Bdat:
        return NESTED_MAIL
    return _OUT_OF_ORDER.get(standing.state, BAD_SEQUENCE)


def _check_hello(standing: Standing, command: Helo | Ehlo | Lhlo) -> Reply | None:
    # RFC 2033 section 4.1: LMTP has neither HELO nor EHLO; SMTP has no LHLO.
    return UNKNOWN_COMMAND if (type(command) is Lhlo) is not standing.lmtp else None


def _check_mail(standing: Standing, command: Mail) -> Reply | None:
    sender = command.sender
    if sender is not None and not command.smtputf8 and not sender.is_ascii:
        return NEEDS_SMTPUTF8
    if command.size and 0 < standing.offer.size < command.size:
        return MESSAGE_TOO_BIG
    return None


def _check_rcpt(standing: Standing, command: Rcpt) -> Reply | None:
    if standing.mail.smtputf8 or command.recipient.is_ascii:
        return None
    return NEEDS_SMTPUTF8


def _check_data(standing: Standing, command: Data) -> Reply | None:
    return BINARY_NEEDS_BDAT if standing.mail.body == "BINARYMIME" else None


def _check_starttls(standing: Standing, command: StartTls) -> Reply | None:
    return None if standing.offer.starttls else TLS_NOT_OFFERED


def _check_auth(standing: Standing, command: Auth) -> Reply | None:
    if standing.authenticated:
        return ALREADY_AUTHENTICATED
    if not standing.offer.auth:
        return AUTH_NOT_OFFERED
    return None if command.mechanism in standing.offer.auth else UNKNOWN_MECHANISM


def _check_xclient(standing: Standing, command: Xclient) -> Reply | None:
    if standing.offer.xclient is None:
        return UNKNOWN_COMMAND
    return None if standing.offer.xclient else XCLIENT_NOT_ALLOWED


_OUT_OF_ORDER: Mapping[State, Reply] = {
    State.START: EHLO_FIRST,
    State.READY: MAIL_FIRST,
    State.SENDER: NO_VALID_RECIPIENTS,
    State.RECIPIENTS: NESTED_MAIL,
    State.BETWEEN_CHUNKS: CHUNKS_ONLY,
    State.FAILED: TRANSACTION_FAILED,
}

#: Checked once a command is known to be in order.
_CHECKS: Mapping[type[Event], Callable[[Standing, Any], Reply | None]] = {
    Helo: _check_hello,
    Ehlo: _check_hello,
    Lhlo: _check_hello,
    Mail: _check_mail,
    Rcpt: _check_rcpt,
    Data: _check_data,
    StartTls: _check_starttls,
    Auth: _check_auth,
    Xclient: _check_xclient,
}

_AUTH = re.compile(rb"AUTH", re.IGNORECASE)


class Offences:
    """Makes Rejected of lines that are refused, without showing text that may be a secret.

    If a client pipelines its password after an AUTH that is refused, the password must not get into
    a log. So after AUTH no line is shown until another command is accepted; `hides` is True
    meanwhile. The code that accepts a command sets `hides`, to True if the command is AUTH.
    """

    __slots__ = ("hides",)

    def __init__(self) -> None:
        self.hides = False

    def rejected(self, reply: Reply, line: bytes, last: bool = False) -> Rejected:
        """The event for a line that is refused; see Rejected for `last`."""
        self.hides = self.hides or _AUTH.match(line) is not None
        return Rejected(reply, b"" if self.hides else line[:_SHOWN], last)

"""The order of commands: ORDER[state][event] is the next state (RFC 5321 section 4.1.4).

An event that is not in a state's row is out of order there: 503. ORDER gives the state after a
positive answer. A refusal leaves the state as it is, except for REFUSED. Three moves are not in the
table, because they depend on the reply's code: a 334 leads to AUTHENTICATING, 221 and 421 lead to
CLOSED.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

from .command import (
    Auth,
    Bdat,
    Data,
    Ehlo,
    Expn,
    Helo,
    Help,
    Lhlo,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    Vrfy,
    Xclient,
)
from .event import AuthLine, ContentEnd, Event, Rejected


class State(StrEnum):
    """The states of the server dialogue."""

    START = "start"  # before hello, or TLS has just begun
    READY = "ready"  # after hello; no mail transaction
    SENDER = "sender"  # MAIL was accepted, no recipient yet
    RECIPIENTS = "recipients"  # at least one RCPT was accepted
    CONTENT = "content"  # after a 354
    CHUNK = "chunk"  # within a BDAT chunk, or its reply is due
    LAST_CHUNK = "last chunk"  # the same for BDAT LAST
    BETWEEN_CHUNKS = "between chunks"  # more chunks must come
    FAILED = "failed"  # a chunk was refused (RFC 3030 section 2)
    AUTHENTICATING = "authenticating"  # after a 334 (RFC 4954)
    SECURING = "securing"  # after the 220 to STARTTLS; the handshake is next
    CLOSED = "closed"  # after 221 or 421; nothing more is read


Row: TypeAlias = Mapping[type[Event], State]


def _at_any_time(state: State) -> dict[type[Event], State]:
    """The events that change nothing, and QUIT (RFC 5321 section 4.1.4)."""
    return {Noop: state, Help: state, Vrfy: state, Expn: state, Quit: State.CLOSED}


_HELLO: Row = {Helo: State.READY, Ehlo: State.READY, Lhlo: State.READY}
_AFRESH: Row = {**_HELLO, Rset: State.READY}
_CHUNKS: Row = {Bdat: State.CHUNK}

ORDER: Mapping[State, Row] = {
    # XCLIENT begins the session of another client, so it is not allowed within a mail transaction.
    State.START: {
        **_at_any_time(State.START),
        **_HELLO,
        Rset: State.START,
        Xclient: State.START,
    },
    State.READY: {
        **_at_any_time(State.READY),
        **_AFRESH,
        Mail: State.SENDER,
        # RFC 4954 section 4 and RFC 3207: not within a mail transaction.
        Auth: State.READY,
        StartTls: State.SECURING,
        Xclient: State.START,
    },
    State.SENDER: {**_at_any_time(State.SENDER), **_AFRESH, Rcpt: State.RECIPIENTS},
    State.RECIPIENTS: {
        **_at_any_time(State.RECIPIENTS),
        **_AFRESH,
        **_CHUNKS,
        Rcpt: State.RECIPIENTS,
        Data: State.CONTENT,
    },
    State.CONTENT: {ContentEnd: State.READY},
    State.CHUNK: {ContentEnd: State.BETWEEN_CHUNKS},
    State.LAST_CHUNK: {ContentEnd: State.READY},
    # RFC 3030 section 2: DATA and BDAT never share a transaction.
    State.BETWEEN_CHUNKS: {**_at_any_time(State.BETWEEN_CHUNKS), **_AFRESH, **_CHUNKS},
    State.FAILED: {**_at_any_time(State.FAILED), **_AFRESH, Mail: State.SENDER},
    State.AUTHENTICATING: {AuthLine: State.READY},
    State.SECURING: {},
    State.CLOSED: {},
}

REFUSED: Mapping[State, Row] = {
    State.CONTENT: {ContentEnd: State.READY},
    State.CHUNK: {ContentEnd: State.FAILED},
    State.LAST_CHUNK: {ContentEnd: State.READY},
    State.AUTHENTICATING: {AuthLine: State.READY, Rejected: State.READY},
}

"""The order of commands: ORDER[state][event] is the next state (RFC 1939 sections 3 to 6).

An event that is not in a state's row is out of order there. ORDER gives the state after a positive
reply. A refusal leaves the state as it is, except for REFUSED. Three moves are not in the table: a
challenge leads to AUTHENTICATING, QUIT to UPDATE as soon as it is read after the login, and one bad
command too many to CLOSED.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

from .command import (
    Auth,
    Capa,
    Dele,
    List,
    Mechanisms,
    Noop,
    Pass,
    Quit,
    Retr,
    Rset,
    Stat,
    Stls,
    Top,
    Uidl,
    User,
    Utf8,
)
from .event import AuthLine, Event, Rejected


class State(StrEnum):
    """The states of the server dialogue; those of RFC 1939 and the steps between them."""

    AUTHORIZATION = "authorization"  # nobody is logged in
    NAMED = "named"  # the same, after an accepted USER; PASS may come
    AUTHENTICATING = "authenticating"  # after a challenge (RFC 5034)
    SECURING = "securing"  # after the +OK to STLS; the handshake is next
    TRANSACTION = "transaction"  # a user is logged in
    UPDATE = "update"  # after QUIT: what was deleted is removed now
    CLOSED = "closed"  # nothing more is read


Row: TypeAlias = Mapping[type[Event], State]


def _before_login(state: State) -> dict[type[Event], State]:
    return {
        **dict.fromkeys((Capa, Mechanisms, Utf8), state),
        User: State.NAMED,
        Auth: State.TRANSACTION,
        Stls: State.SECURING,
        Quit: State.CLOSED,
    }


ORDER: Mapping[State, Row] = {
    State.AUTHORIZATION: _before_login(State.AUTHORIZATION),
    # Only here, RFC 1939 section 7. A second USER replaces the first.
    State.NAMED: {**_before_login(State.NAMED), Pass: State.TRANSACTION},
    State.AUTHENTICATING: {AuthLine: State.TRANSACTION},
    State.SECURING: {},
    State.TRANSACTION: {
        **dict.fromkeys(
            (Capa, Stat, List, Uidl, Retr, Top, Dele, Rset, Noop),
            State.TRANSACTION,
        ),
        Quit: State.UPDATE,
    },
    State.UPDATE: {Quit: State.CLOSED},
    State.CLOSED: {},
}

REFUSED: Mapping[State, Row] = {
    State.AUTHORIZATION: {Quit: State.CLOSED},
    State.NAMED: {
        User: State.AUTHORIZATION,
        Pass: State.AUTHORIZATION,
        Auth: State.AUTHORIZATION,
        Quit: State.CLOSED,
    },
    State.AUTHENTICATING: {AuthLine: State.AUTHORIZATION, Rejected: State.AUTHORIZATION},
    # RFC 1939 section 6: the connection is closed, whether all was removed or not.
    State.UPDATE: {Quit: State.CLOSED},
}

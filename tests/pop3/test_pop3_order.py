"""The table of states, read against the words of the RFCs."""

from __future__ import annotations

from typing import get_args

from mailframe.pop3.command import (
    Auth,
    Capa,
    Command,
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
from mailframe.pop3.event import Rejected
from mailframe.pop3.order import ORDER, REFUSED, State

BEFORE_LOGIN = {State.AUTHORIZATION, State.NAMED}


def states_of(kind: type[object]) -> set[State]:
    """The states in which this may come."""
    return {state for state in State if kind in ORDER[state]}


def test_every_state_has_its_row() -> None:
    """No state is forgotten, and a refusal is only described for what can come."""
    assert set(ORDER) == set(State)
    for state, row in REFUSED.items():
        assert set(row) <= {*ORDER[state], Rejected}


def test_every_command_has_its_place() -> None:
    """No command is forgotten in the table."""
    assert all(states_of(kind) for kind in get_args(Command))


def test_authorization() -> None:
    """RFC 1939 section 4, RFC 2595, RFC 5034 and RFC 6856: these come before the login only."""
    for kind in (User, Auth, Mechanisms, Stls, Utf8):
        assert states_of(kind) == BEFORE_LOGIN
    assert states_of(Pass) == {State.NAMED}


def test_transaction() -> None:
    """RFC 1939 section 5: what needs a mailbox comes after the login only, and stays there."""
    for kind in (Stat, List, Uidl, Retr, Top, Dele, Rset, Noop):
        assert states_of(kind) == {State.TRANSACTION}
        assert ORDER[State.TRANSACTION][kind] is State.TRANSACTION


def test_in_both_states() -> None:
    """RFC 2449 section 5 and RFC 1939 section 6: CAPA and QUIT come in both."""
    both = BEFORE_LOGIN | {State.TRANSACTION}
    assert states_of(Capa) == both
    assert states_of(Quit) == both | {State.UPDATE}
    assert all(ORDER[state][Capa] is state for state in both)


def test_only_quit_removes_messages() -> None:
    """RFC 1939 section 6: nothing but QUIT leads to UPDATE, and from there only to the end."""
    ways = {
        (state, kind)
        for table in (ORDER, REFUSED)
        for state, row in table.items()
        for kind, after in row.items()
        if after is State.UPDATE
    }
    assert ways == {(State.TRANSACTION, Quit)}
    assert ORDER[State.UPDATE] == REFUSED[State.UPDATE] == {Quit: State.CLOSED}


def test_no_refusal_logs_in() -> None:
    """What is refused never leads to the mailbox."""
    assert all(State.TRANSACTION not in row.values() for row in REFUSED.values())

"""The table of states, read against the words of the RFCs."""

from __future__ import annotations

from typing import get_args

from mailframe.smtp import grammar
from mailframe.smtp.command import (
    Auth,
    Bdat,
    Command,
    Data,
    Ehlo,
    Helo,
    Lhlo,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    Xclient,
)
from mailframe.smtp.event import Rejected
from mailframe.smtp.order import ORDER, REFUSED, State

SPEAKING = [state for state in State if any(kind in get_args(Command) for kind in ORDER[state])]


def states_of(kind: type[object]) -> set[State]:
    """The states in which this may come."""
    return {state for state in State if kind in ORDER[state]}


def test_every_state_has_its_row() -> None:
    """No state is forgotten, and a refusal is only described for what can come."""
    assert set(ORDER) == set(State)
    for state, row in REFUSED.items():
        assert set(row) <= {*ORDER[state], Rejected}


def test_at_any_time() -> None:
    """RFC 5321 section 4.1.4: RSET, NOOP, QUIT and a hello come whenever commands are read."""
    for kind in (Noop, Rset, Quit, Helo, Ehlo, Lhlo):
        assert states_of(kind) == set(SPEAKING)
    assert all(ORDER[state][Noop] is state for state in SPEAKING)
    assert all(ORDER[state][Quit] is State.CLOSED for state in SPEAKING)


def test_the_transaction() -> None:
    """RFC 5321 section 3.3: MAIL, then RCPT, then the content; RSET and a hello end it."""
    assert states_of(Mail) == {State.READY, State.FAILED}
    assert states_of(Rcpt) == {State.SENDER, State.RECIPIENTS}
    assert states_of(Data) == {State.RECIPIENTS}
    assert states_of(Bdat) == {State.RECIPIENTS, State.BETWEEN_CHUNKS}
    for kind in (Rset, Ehlo):
        assert {ORDER[state][kind] for state in SPEAKING if state is not State.START} == {
            State.READY
        }


def test_security_is_outside_of_transactions() -> None:
    """RFC 4954 section 4 and RFC 3207: AUTH and STARTTLS after a hello, between transactions."""
    assert states_of(Auth) == states_of(StartTls) == {State.READY}


def test_another_clients_session_begins_between_transactions() -> None:
    """Postfix's XCLIENT_README: at any time but within a mail transaction, then as at connect."""
    assert states_of(Xclient) == {State.START, State.READY}
    assert {ORDER[state][Xclient] for state in states_of(Xclient)} == {State.START}


def test_the_deaf_states() -> None:
    """After 221 or 421, and before the handshake, nothing is read."""
    assert not ORDER[State.CLOSED]
    assert not ORDER[State.SECURING]


def test_no_table_forgets_a_command() -> None:
    """Each can be read, written and come in some state; a verb that is read is one of them."""
    kinds = set(get_args(Command))
    assert set(grammar._WRITERS) == kinds
    assert kinds <= set().union(*ORDER.values())
    spelled = {kind.__name__.upper() for kind in kinds}
    assert set(grammar._READERS) >= spelled

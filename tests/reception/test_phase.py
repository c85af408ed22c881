"""The table of a connection's phases."""

import pytest

from mailframe.reception.phase import (
    ABORT,
    ANSWER,
    ANSWERING,
    ARRIVED,
    CLOSE,
    CLOSING,
    ENDED,
    FINISHING,
    GONE,
    LOSE,
    PHASES,
    UNGREETED,
    Phase,
    Step,
)


def reached(phase, steps):
    """The phases that these steps lead to from one."""
    found, look_at = {phase}, [phase]
    while look_at:
        for step, follows in PHASES[look_at.pop()].items():
            if step in steps and follows not in found:
                found.add(follows)
                look_at.append(follows)
    return found


def test_every_phase_has_a_row_and_is_reached():
    """And every step is taken from somewhere."""
    assert set(PHASES) == set(Phase)
    assert reached(ARRIVED, set(Step)) == set(Phase)
    assert {step for row in PHASES.values() for step in row} == set(Step)


@pytest.mark.parametrize("phase", Phase)
def test_a_client_may_go_at_any_time(phase):
    """A connection is lost or aborted in whatever phase; then nothing begins again."""
    for step in (ABORT, LOSE):
        assert PHASES[phase][step] in ENDED
        assert reached(PHASES[phase][step], set(Step)) <= ENDED


def test_an_answer_that_is_waited_for_is_finished():
    """A client that goes meanwhile does not end the session under its answer."""
    assert PHASES[ANSWERING][LOSE] is FINISHING
    assert PHASES[FINISHING][ANSWER] is GONE
    assert CLOSE not in PHASES[ANSWERING]


def test_nothing_comes_after_the_last_word():
    """Closed is closed: only the loss of the connection follows."""
    assert reached(CLOSING, set(Step)) == {CLOSING, GONE}


def test_whoever_was_greeted_is_not_greeted_again():
    """No step leads back before the greeting."""
    for phase in set(Phase) - UNGREETED:
        assert not reached(phase, set(Step)) & UNGREETED

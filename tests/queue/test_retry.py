"""When deferred mail is tried again."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as some

from mailframe.message import Pending
from mailframe.queue import retry
from mailframe.settings import QueueTimes
from mailframe.testing.values import recipient

TIMES = QueueTimes()


def test_the_default_schedule():
    """1 m, 5 m, 15 m, 1 h, then every 4 h."""
    waits = [retry.wait(TIMES, attempts) for attempts in range(1, 8)]
    assert waits == [60, 300, 900, 3600, 14400, 14400, 14400]


def test_no_waits_is_an_hour():
    """An empty schedule does not spin."""
    assert retry.wait(replace(TIMES, waits=()), 1) == 3600


@given(some.integers(1, 50), some.floats(-1, 1))
def test_jitter_stays_within_its_fraction(attempts, chance):
    """Each wait varies by a tenth up or down by default."""
    middle = retry.wait(TIMES, attempts)
    assert 0.9 * middle - 1e-6 <= retry.wait(TIMES, attempts, chance) <= 1.1 * middle + 1e-6


def test_an_agent_may_ask_for_more():
    """retry_after is the least wait, and never shortens one."""
    assert retry.next_attempt(TIMES, 1000.0, 1000.0, 1, retry_after=500.0) == 1500
    assert retry.next_attempt(TIMES, 1000.0, 1000.0, 1, retry_after=5.0) == 1060


def test_the_last_attempt_is_when_the_time_is_up():
    """No wait reaches beyond the end, so a bounce is not late."""
    end = 1000.0 + TIMES.give_up_after
    assert retry.next_attempt(TIMES, end - 100, 1000.0, 9) == end
    assert retry.next_attempt(TIMES, end + 5, 1000.0, 9) > end + 5
    assert not retry.is_over(TIMES, end - 1, 1000.0)
    assert retry.is_over(TIMES, end, 1000.0)


def test_a_delay_is_told_once_and_only_to_those_who_want():
    """warn_after, NOTIFY and what was said before decide."""

    def late(now, notify=None, warned=False, times=TIMES):
        pending = Pending(recipient(notify=notify), 0.0, warned=warned)
        return retry.is_late(times, now, 0.0, pending)

    assert not late(TIMES.warn_after - 1)
    assert late(TIMES.warn_after)
    assert not late(TIMES.warn_after, warned=True)
    assert not late(TIMES.warn_after, frozenset({"NEVER"}))
    assert not late(TIMES.warn_after, frozenset({"FAILURE"}))
    assert late(TIMES.warn_after, frozenset({"FAILURE", "DELAY"}))
    assert not late(1e9, times=replace(TIMES, warn_after=None))

"""Decides when deferred mail is tried again, warned about and given up. Pure: no clock, no I/O."""

from __future__ import annotations

from ..message import Pending
from ..settings import QueueTimes


def wait(times: QueueTimes, attempts: int, chance: float = 0.0) -> float:
    """Seconds to wait after so many attempts (at least one). The last wait repeats.

    `chance`, from -1 to 1, moves it within the jitter, so that messages that failed together are
    not tried together again. RFC 5321 section 4.5.4.1 asks for 30 minutes or more in the long run;
    the first attempts may be sooner.
    """
    step = times.waits[min(attempts, len(times.waits)) - 1] if times.waits else 3600.0
    return max(1.0, step * (1 + times.jitter * chance))


def next_attempt(
    times: QueueTimes,
    now: float,
    created: float,
    attempts: int,
    retry_after: float | None = None,
    chance: float = 0.0,
) -> float:
    """When to try again after so many attempts, but not before the agent's `retry_after`.

    The last attempt is made when the message's time is up, not long after.
    """
    due = now + max(wait(times, attempts, chance), retry_after or 0.0)
    up = created + times.give_up_after
    return min(due, up) if up > now else due


def is_over(times: QueueTimes, now: float, created: float) -> bool:
    """True if the time for a message that came in at `created` is up."""
    return now >= created + times.give_up_after


def is_late(times: QueueTimes, now: float, created: float, pending: Pending) -> bool:
    """True if the sender should be told now about the delay, once only (RFC 3461 section 4.1).

    Without a NOTIFY parameter a delay is reported; with one, only if it contains DELAY.
    """
    if pending.warned or times.warn_after is None or now < created + times.warn_after:
        return False
    notify = pending.recipient.notify
    return notify is None or "DELAY" in notify


def longest_wait(times: QueueTimes) -> float:
    """The longest wait between two attempts, in seconds."""
    return max(times.waits, default=3600.0) * (1 + times.jitter)

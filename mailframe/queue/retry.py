"""When deferred mail is tried again, warned about and given up. Pure: times in, times out."""

from __future__ import annotations

from ..message import Pending
from ..settings import QueueTimes


def wait(times: QueueTimes, attempts: int, chance: float = 0.0) -> float:
    """Seconds to wait after so many attempts (one at least); the last wait repeats.

    `chance` from -1 to 1 moves it within the jitter, so that what failed together is not
    tried together again. RFC 5321 section 4.5.4.1 asks for 30 minutes or more in the long
    run; the first tries may be sooner.
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
    """When to try again after so many attempts: not sooner than the agent asks for.

    The last attempt is made when the time is up, not long after it.
    """
    due = now + max(wait(times, attempts, chance), retry_after or 0.0)
    up = created + times.give_up_after
    return min(due, up) if up > now else due


def is_over(times: QueueTimes, now: float, created: float) -> bool:
    """Whether the time for a message that came in at `created` is up."""
    return now >= created + times.give_up_after


def is_late(times: QueueTimes, now: float, created: float, pending: Pending) -> bool:
    """Whether its sender should be told now that it waits; once only (RFC 3461 section 4.1).

    Without a NOTIFY parameter a delay is reported, with one only where it names DELAY.
    """
    if pending.warned or times.warn_after is None or now < created + times.warn_after:
        return False
    notify = pending.recipient.notify
    return notify is None or "DELAY" in notify


def longest_wait(times: QueueTimes) -> float:
    """No message waits longer than this of its own accord; seconds."""
    return max(times.waits, default=3600.0) * (1 + times.jitter)

"""The objects that all attempts at messages share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ..interfaces import IQueueStore
from ..repeated import RepeatedLog
from ..settings import QueueTimes
from .destinations import Destinations
from .reports import Reports

if TYPE_CHECKING:
    from ..hooks import Hooks


@dataclass(frozen=True, slots=True)
class Context:
    """`now()` is in seconds since the epoch. `chance()` is from -1 to 1, for the jitter.

    `in_thread` runs what blocks. `repeated` is for log lines that a failing store would repeat with
    each message.
    """

    hooks: Hooks
    store: IQueueStore
    destinations: Destinations
    reports: Reports
    times: QueueTimes
    reactor: IReactorTime
    now: Callable[[], float]
    chance: Callable[[], float]
    repeated: RepeatedLog
    in_thread: Callable[..., Deferred[Any]]

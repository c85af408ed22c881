"""The subject of questions to a host."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from twisted.internet.defer import Deferred

from ...interfaces import IInspected, IQueueStore, ITrace

InThread: TypeAlias = Callable[..., Deferred[Any]]


class Refused(ValueError):
    """A request that cannot be answered; the text is for the person who asked."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One host, or one worker of several.

    `look` is called when messages may have become due, with the domains whose places are to be
    tried even if they are paused. It returns those of them at which one message is tried first,
    each with its place and the place's last words, or None if no host runs. `now` gives seconds
    since the epoch. `in_thread` runs blocking work in a thread. `store` and `trace` are None if
    the composition has none. `workers` is the number of workers, each of which has a Control;
    `worker` is the number of this one. `inspected()` gives the parts whose state can be looked at,
    by their names.
    """

    store: IQueueStore | None
    trace: ITrace | None
    look: Callable[[Collection[str]], Mapping[str, str] | None]
    now: Callable[[], float]
    in_thread: InThread
    hostname: str
    workers: int = 1
    worker: int = 0
    inspected: Callable[[], Sequence[tuple[str, IInspected]]] = tuple

    @property
    def queue(self) -> IQueueStore:
        """The store. Raises Refused if there is none."""
        if self.store is None:
            raise Refused("this composition has no [queue]")
        return self.store

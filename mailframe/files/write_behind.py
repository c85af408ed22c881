"""Collects what may be written a little later, and writes it together in a thread.

For observers, which must return at once. Items may be lost in a crash.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..plugin import Site
from ..repeated import RepeatedLog

T = TypeVar("T")


class WriteBehind(Service, Generic[T]):
    """Calls `write(items, dropped)` in a thread soon after `add`; never two calls at a time.

    `every` is how many seconds the first item may wait, and `limit` how many items may wait. Items
    beyond that are dropped, and so are those for which `write` raises an exception; the next
    `write` is told how many were dropped. When the service stops and everything is written, `close`
    is called in a thread.
    """

    _log = Logger()

    def __init__(
        self,
        site: Site,
        write: Callable[[list[T], int], None],
        close: Callable[[], None],
        every: float = 0.5,
        limit: int = 20_000,
    ) -> None:
        self._reactor = site.reactor
        self._in_thread = site.in_thread
        self._name = site.name
        self._write = write
        self._close = close
        self._every = every
        self._limit = limit
        self._items: list[T] = []
        self._dropped = 0
        self._timer: IDelayedCall | None = None
        self._writing = False
        self._waiting: list[Deferred[None]] = []
        self._repeated = RepeatedLog(self._log, site.reactor.seconds)

    def add(self, item: T) -> None:
        """Add an item; returns at once."""
        if len(self._items) >= self._limit:
            self._dropped += 1
            return
        self._items.append(item)
        self._later()

    def _later(self) -> None:
        if self._timer is None and not self._writing:
            self._timer = self._reactor.callLater(self._every, self._begin)

    def _begin(self) -> None:
        self._timer = None
        items, self._items = self._items, []
        dropped, self._dropped = self._dropped, 0
        self._writing = True
        written = self._in_thread(self._write, items, dropped)
        written.addErrback(self._failed, len(items) + dropped)
        written.addCallback(self._written)

    def _failed(self, failure: Failure, dropped: int) -> None:
        self._dropped += dropped
        self._repeated.failure(
            "{name}: cannot write, {dropped} events dropped so far",
            failure,
            kind="write",
            name=self._name,
            dropped=self._dropped,
        )

    def _written(self, _: object) -> None:
        self._writing = False
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)
        if self._items:
            self._later()

    async def flush(self) -> None:
        """Returns once everything added so far has been written or dropped."""
        while self._writing or self._items:
            if not self._writing:
                if self._timer is not None:
                    self._timer.cancel()
                self._begin()
            if self._writing:
                done: Deferred[None] = Deferred()
                self._waiting.append(done)
                await done

    def stopService(self) -> Deferred[None]:
        """Write what still waits, then call `close`."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await self.flush()
        await self._in_thread(self._close)

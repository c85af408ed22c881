"""Everything that an attempt waits for (agents, routes, turns, time), to be cancelled together."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime


class Waits:
    """Everything that one attempt waits for now."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._running: set[Deferred[Any]] | None = set()  # None: nothing is waited for any more

    def end(self) -> None:
        """Cancel them all, and from now on cancel every later wait at once."""
        running, self._running = self._running, None
        for wait in list(running or ()):
            wait.cancel()

    async def wait(self, wait: Deferred[Any]) -> Any:
        """Its result. Raises what it fails with; CancelledError once this has ended."""
        running = self._running
        if running is None:
            wait.cancel()
            return await wait
        running.add(wait)
        try:
            return await wait
        finally:
            running.discard(wait)

    async def sleep(self, seconds: float) -> None:
        """Wait so long. CancelledError once this has ended."""
        if self._running is None:
            raise CancelledError
        pause: Deferred[None] = Deferred()
        timer = self._reactor.callLater(seconds, pause.callback, None)
        try:
            await self.wait(pause)
        except CancelledError:
            timer.cancel()
            raise

"""Stops one thing after another, with a time limit for all of them together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure


class Stopping:
    """Steps that together may take `seconds`; if a step fails, the next one is still done."""

    _log = Logger()

    def __init__(self, reactor: IReactorTime, seconds: float) -> None:
        self._reactor = reactor
        self._end = reactor.seconds() + seconds

    async def step(self, what: str, stop: Callable[[], Any]) -> None:
        """Do this step and wait for it, but not beyond the time limit; never raises."""
        done: Deferred[bool] = Deferred()
        finished = maybeDeferred(stop)
        finished.addErrback(self._failed, what)
        left = max(0.0, self._end - self._reactor.seconds())
        patience = self._reactor.callLater(left, done.callback, False)

        def in_time(_result: object) -> None:
            if patience.active():
                patience.cancel()
                done.callback(True)

        finished.addBoth(in_time)
        if not await done:
            self._log.warn("{what}: not stopped in time, left as it is", what=what)

    def _failed(self, failure: Failure, what: str) -> None:
        self._log.failure("{what}: failed to stop", failure=failure, what=what)

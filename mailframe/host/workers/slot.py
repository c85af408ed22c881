"""One worker's slot: it has a worker in it, or will have one soon."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...wire.child import Once
from ...wire.child import pause as pause_after
from .process import WorkerProcess

FIRST_PAUSE = 0.2  # seconds until a worker that died is replaced; doubled each time
LONGEST_PAUSE = 30.0
STEADY = 60.0  # seconds; if a worker lived this long, its death counts as the first again


def pause(deaths: int) -> float:
    """Seconds to wait after so many deaths in a row."""
    return pause_after(deaths, FIRST_PAUSE, LONGEST_PAUSE)


class Slot:
    """Keeps one worker running, and replaces it by another one on demand.

    `spawn()` starts a process, which then stands by. `patience` is how many seconds a worker may
    take to retire or stop; after that it is killed.
    """

    _log = Logger()

    def __init__(
        self,
        number: int,
        spawn: Callable[[], WorkerProcess],
        reactor: IReactorTime,
        patience: float,
    ) -> None:
        self.number = number
        self._spawn = spawn
        self._reactor = reactor
        self._patience = patience
        self._worker: WorkerProcess | None = None
        self._next: WorkerProcess | None = None
        self._deaths = 0
        self._wait: Once[None] | None = None
        self._stopping = False
        self._kept: Deferred[None] | None = None

    @property
    def processes(self) -> list[WorkerProcess]:
        """The worker in this slot and the one that stands by for it, if they are alive."""
        both = (self._worker, self._next)
        return [each for each in both if each is not None and not each.ended]

    def begin(self) -> WorkerProcess:
        """Start the first worker.

        From now on the slot keeps one. OSError if none can be started.
        """
        first = self._spawn()
        self._kept = Deferred.fromCoroutine(self._keep(first))
        self._kept.addErrback(self._failed)
        return first

    def _failed(self, failure: Failure) -> None:
        self._log.failure("worker {number}: nobody is there", failure=failure, number=self.number)

    async def _keep(self, worker: WorkerProcess | None) -> None:
        while worker is not None and not self._stopping:
            began = self._reactor.seconds()
            self._worker = worker
            worker.go()
            how = await worker.ended.wait()
            if self._stopping:
                return
            worker = self._successor()
            if worker is None:
                lived = self._reactor.seconds() - began
                self._deaths = 1 if lived >= STEADY else self._deaths + 1
                worker = await self._replaced(how)

    def _successor(self) -> WorkerProcess | None:
        """The worker that stands by for this slot, if it is alive."""
        following, self._next = self._next, None
        return following if following is not None and not following.ended else None

    async def _replaced(self, how: str) -> WorkerProcess | None:
        """Another worker after a pause; None if everything is to stop."""
        while not self._stopping:
            seconds = pause(self._deaths)
            self._log.critical(
                "worker {number} ended ({how}); the next one in {seconds} s",
                number=self.number,
                how=how,
                seconds=seconds,
            )
            await self._paused(seconds)
            if self._stopping:
                return None
            try:
                return self._successor() or self._spawn()
            except OSError as wrong:
                self._deaths, how = self._deaths + 1, str(wrong)
        return None

    async def _paused(self, seconds: float) -> None:
        self._wait = Once()
        timer = self._reactor.callLater(seconds, self._wait.happens, None)
        await self._wait.wait()
        self._wait = None
        if timer.active():
            timer.cancel()

    async def relieve(self, spawn: Callable[[], WorkerProcess]) -> str:
        """Replace this worker by a new one, which stands by first; returns "" or why it failed.

        If the new one cannot even stand by, this one goes on working. Raises OSError.
        """
        following = spawn()
        self._next = following
        if not await following.standing_by.wait() or self._stopping:
            if self._next is following:
                self._next = None
            return following.failure or "it ended before it was ready"
        self._spawn = spawn
        if self._wait is not None:  # the slot is empty now
            self._wait.happens(None)
        elif self._worker is not None and self._worker is not following:
            self._worker.retire()
            self._kill_later(self._worker)
        if await following.ready.wait():
            self._deaths = 0
            return ""
        return following.failure or "it ended before it was ready"

    def _kill_later(self, worker: WorkerProcess) -> None:
        def kill() -> None:
            self._log.warn("worker {number} does not end: killed", number=self.number)
            worker.kill()

        worker.unless_it_ends(self._reactor, self._patience, kill)

    def stop(self) -> None:
        """Start no more workers; those that are alive stop gracefully."""
        self._stopping = True
        for worker in self.processes:
            worker.stop()
            self._kill_later(worker)
        if self._wait is not None:
            self._wait.happens(None)

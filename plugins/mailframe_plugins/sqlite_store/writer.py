"""The one thread that writes: everything that waits is done in one transaction, with one sync."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from mailframe.interfaces import LeaseLost
from mailframe.spool.batches import Batches, Job

from .errors import is_damage, is_full, translated
from .folder import StoreFolder
from .ledger import Ledger
from .schema import PAGE
from .statements import NewMessage

T = TypeVar("T")

_REFILL = 10.0  # seconds
_SHRINK_AFTER = 60.0  # seconds from the first change until space is looked for that may go
_SHRINK_NEXT = 1.0  # seconds between two steps
_STEP = 256  # pages that go in one step: a megabyte is written in a few milliseconds
_ROW = 16 << 10  # octets that a message may need besides its body


class _Task(NamedTuple):
    """Something to do; the meaning of `argument` depends on `kind`."""

    kind: Literal["insert", "finish", "call", "shrink"]
    argument: Any


class Writer:
    """Runs between `start` and `stop`. A Deferred that it gives fires when its task is durable.

    It fails with OSError, or with the exception of the call; then nothing of the task was done.
    `reactor` is IReactorTime and IReactorFromThreads. A while after changes, the database gets
    smaller if much of it holds nothing, a step at a time between the tasks.
    """

    _log = Logger()

    def __init__(self, folder: StoreFolder, ledger: Ledger, reactor: Any) -> None:
        self._folder = folder
        self._ledger = ledger
        self._reactor = reactor
        self._refill_at: float | None = None  # monotonic seconds
        self._to_shrink: IDelayedCall | None = None
        self._is_shrinking = self._stopping = False
        self._batches: Batches[_Task] = Batches(reactor, self._work, self._end, "mailframe-queue")

    @property
    def inserting(self) -> int:
        """Octets that the new messages given to it may need on the disk."""
        return self._batches.pending

    def start(self) -> None:
        """Start the thread."""
        self._batches.start()
        self._shrink_later(_SHRINK_AFTER)

    def insert(self, message: NewMessage, until: float | None, value: T) -> Deferred[T]:
        """Store a message, leased until then or, if None, not leased; fires with the value."""
        octets = _ROW + (0 if message.octets is None else len(message.octets))
        job = Job(_Task("insert", (message, until)), octets)
        job.result = value
        return self._put(job)

    def finish(self, id: str) -> Deferred[None]:
        """Remove a message. Fails with LeaseLost if it exists and is not leased."""
        return self._put(Job(_Task("finish", id)))

    def call(self, what: Callable[[Ledger], T]) -> Deferred[T]:
        """Call this in the thread; it is called again if another task of its batch fails."""
        return self._put(Job(_Task("call", what)))

    def tell(self, what: Callable[[Ledger], object]) -> None:
        """Call this at some time; may be used in any thread, and gives no result."""
        self._batches.tell(_Task("call", what))

    def stop(self) -> Deferred[None]:
        """Finish the tasks that were given before, then end; fires when the database is closed."""
        self._stopping = True
        if self._to_shrink is not None:
            self._to_shrink.cancel()
            self._to_shrink = None
        return self._batches.stop()

    def _put(self, job: Job[_Task]) -> Deferred[Any]:
        if self._to_shrink is None and not self._is_shrinking:
            self._shrink_later(_SHRINK_AFTER)
        return self._batches.put(job)

    def _shrink_later(self, seconds: float) -> None:
        if not self._stopping and self._to_shrink is None:
            self._to_shrink = self._reactor.callLater(seconds, self._shrink)

    def _shrink(self) -> None:
        self._to_shrink = None
        self._is_shrinking = True
        self._batches.tell(_Task("shrink", None))

    def _has_shrunk(self, more: bool) -> None:
        self._is_shrinking = False
        if more:
            self._shrink_later(_SHRINK_NEXT)

    # From here on: in the thread.

    def _work(self, jobs: Sequence[Job[_Task]]) -> None:
        self._settle(jobs)
        if self._refill_at is not None and time.monotonic() >= self._refill_at:
            ready = self._folder.take_ballast()
            self._refill_at = None if ready else time.monotonic() + _REFILL
        if any(job.task.kind == "shrink" for job in jobs):
            more = self._shrunk()
            self._reactor.callFromThread(self._has_shrunk, more)

    def _shrunk(self) -> bool:
        """One step; True if another should follow."""
        try:
            # It is written to the log first, and on a full disk others need that.
            step = min(_STEP, self._folder.log // PAGE)
            if self._folder.free < 2 * self._folder.log:
                return False
            return self._ledger.shrink(step)
        except (OSError, sqlite3.Error) as wrong:
            self._log.warn("the queue's database stays as large as it is: {why}", why=str(wrong))
            return False

    def _end(self) -> None:
        self._ledger.close()

    def _settle(self, jobs: Sequence[Job[_Task]], mended: bool = False) -> None:
        """Do all together; if that fails, mend once what can be mended, and do them one by one."""
        try:
            self._together(jobs)
            return
        except Exception as failed:  # noqa: BLE001
            wrong = failed
        try:
            mend = self._mend(jobs, wrong, mended)
        except Exception as failed:  # noqa: BLE001
            self._fail(jobs, failed)
            return
        if mend or len(jobs) > 1:
            for job in jobs:
                self._settle([job], mended or mend)
        else:
            self._fail(jobs, wrong)

    def _mend(self, jobs: Sequence[Job[_Task]], wrong: Exception, mended: bool) -> bool:
        """Roll the failed batch back; True if there is reason to hope that it works now."""
        if is_damage(wrong) and not mended:
            self._ledger = self._folder.reopened(self._ledger, wrong)
            return True
        self._ledger.rollback()
        if not is_full(wrong):
            return False
        # Finishing makes space, so it may use the last of it; new messages may not.
        spent = all(job.task.kind != "insert" for job in jobs) and self._folder.drop_ballast()
        if spent:
            self._refill_at = time.monotonic() + _REFILL
        if spent or not mended:
            self._ledger.give_back_log()
            return True
        return False

    def _together(self, jobs: Sequence[Job[_Task]]) -> None:
        ledger = self._ledger
        inserts = [job.task.argument for job in jobs if job.task.kind == "insert"]
        finished = [job.task.argument for job in jobs if job.task.kind == "finish"]
        lost: set[str] = set()
        ledger.begin()
        # A new message, and the end of one, do not depend on other tasks that wait.
        if inserts:
            ledger.insert(inserts)
        if finished:
            lost = ledger.finish(finished)
        for job in jobs:
            if job.task.kind == "call":
                job.result = job.task.argument(ledger)
            elif job.task.kind == "finish":
                job.result = _lost(job.task.argument) if job.task.argument in lost else None
        ledger.commit()

    def _fail(self, jobs: Sequence[Job[_Task]], wrong: BaseException) -> None:
        try:
            free = self._folder.free
        except OSError:
            free = 1 << 40
        failure = Failure(translated(wrong, free))  # type: ignore[no-untyped-call]
        for job in jobs:
            job.result = failure


def _lost(id: str) -> Failure:
    return Failure(LeaseLost(id))  # type: ignore[no-untyped-call]

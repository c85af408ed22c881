"""The one thread that writes: whatever waits is done in one transaction, with one sync."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mailframe.interfaces import LeaseLost
from mailframe.spool.batches import Batches, Job

from .errors import is_damage, is_full, translated
from .folder import StoreFolder
from .ledger import Ledger
from .statements import NewMessage

T = TypeVar("T")

_REFILL = 10.0  # seconds
_ROW = 16 << 10  # octets that a message may take besides its body


class _Task(NamedTuple):
    """What is to be done; `argument` by `kind`."""

    kind: Literal["insert", "finish", "call"]
    argument: Any


class Writer:
    """Runs between `start` and `stop`. Everything given to it is durable when its Deferred fires.

    Fails with OSError, or with what the call raised; nothing of it was done then. `reactor` is
    IReactorTime and IReactorFromThreads.
    """

    def __init__(self, folder: StoreFolder, ledger: Ledger, reactor: Any) -> None:
        self._folder = folder
        self._ledger = ledger
        self._refill_at: float | None = None  # monotonic seconds
        self._batches: Batches[_Task] = Batches(reactor, self._work, self._end, "mailframe-queue")

    @property
    def inserting(self) -> int:
        """Octets that new messages given to it may take on the disk."""
        return self._batches.pending

    def start(self) -> None:
        """Begin."""
        self._batches.start()

    def insert(self, message: NewMessage, until: float | None, value: T) -> Deferred[T]:
        """Store a message, leased until then or not at all; then the value is given."""
        octets = _ROW + (0 if message.octets is None else len(message.octets))
        job = Job(_Task("insert", (message, until)), octets)
        job.result = value
        return self._batches.put(job)

    def finish(self, id: str) -> Deferred[None]:
        """Forget a message. Fails with LeaseLost if it is here and not leased."""
        return self._batches.put(Job(_Task("finish", id)))

    def call(self, what: Callable[[Ledger], T]) -> Deferred[T]:
        """Do this; it is done again if something else in its batch fails."""
        return self._batches.put(Job(_Task("call", what)))

    def tell(self, what: Callable[[Ledger], object]) -> None:
        """Do this some time; from any thread, and nobody waits for it."""
        self._batches.tell(_Task("call", what))

    def stop(self) -> Deferred[None]:
        """Do what was given before, then end; fires when the database is closed."""
        return self._batches.stop()

    # Below: in the thread.

    def _work(self, jobs: Sequence[Job[_Task]]) -> None:
        self._settle(jobs)
        if self._refill_at is not None and time.monotonic() >= self._refill_at:
            ready = self._folder.take_ballast()
            self._refill_at = None if ready else time.monotonic() + _REFILL

    def _end(self) -> None:
        self._ledger.close()

    def _settle(self, jobs: Sequence[Job[_Task]], mended: bool = False) -> None:
        """All together; if that fails one by one, after mending what can be mended once."""
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
        """Take the failed batch back; True if it can be hoped that it works now."""
        if is_damage(wrong) and not mended:
            self._ledger = self._folder.reopened(self._ledger, wrong)
            return True
        self._ledger.rollback()
        if not is_full(wrong):
            return False
        # What is finished makes room: it gets the last of it, new messages do not.
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
        # A new message, and the end of one, depend on nothing else that waits here.
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

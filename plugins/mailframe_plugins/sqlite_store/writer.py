"""The one thread that writes: whatever waits is done in one transaction, with one sync.

While it syncs, the next ones gather: the more sessions commit at once, the fewer syncs a
message costs. The reactor hears of a whole batch in one call.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Literal, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mailframe.interfaces import LeaseLost

from .errors import is_damage, is_full, translated
from .ledger import Ledger
from .shelf import Shelf
from .stored import NewMessage

T = TypeVar("T")

_MOST_AT_ONCE = 512
_TURNS = 5  # of the reactor in which jobs gather, where several came the last time
_REFILL = 10.0  # seconds
_ROW = 16 << 10  # octets that a message may take besides its body


class _Job:
    """One thing to do, and who waits for it; `argument` by `kind`."""

    __slots__ = ("argument", "done", "kind", "octets", "result")

    def __init__(
        self, kind: Literal["insert", "finish", "call", "stop"], argument: Any, done: bool = True
    ) -> None:
        self.kind = kind
        self.argument = argument
        self.done: Deferred[Any] | None = Deferred() if done else None
        self.result: Any = None
        self.octets = 0  # that it will take on the disk


class Writer:
    """Runs between `start` and `stop`. Everything given to it is durable when its Deferred fires.

    Fails with OSError, or with what the call raised; nothing of it was done then. `inserting` is
    octets that new messages given to it may take on the disk. `reactor` is IReactorTime and
    IReactorFromThreads.
    """

    _log = Logger()

    def __init__(self, shelf: Shelf, ledger: Ledger, reactor: Any) -> None:
        self._shelf = shelf
        self._ledger = ledger
        self._reactor = reactor
        self._inbox: SimpleQueue[Sequence[_Job]] = SimpleQueue()
        self._gathered: list[_Job] = []
        self._crowded = False  # several were handed over the last time
        self._stopping = False
        self.inserting = 0
        self._refill_at: float | None = None  # monotonic seconds
        self._thread = threading.Thread(target=self._run, name="mailframe-queue", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def insert(self, message: NewMessage, until: float | None, value: T) -> Deferred[T]:
        """Store a message, leased until then or not at all; then the value is given."""
        job = _Job("insert", (message, until))
        job.result = value
        job.octets = _ROW + (0 if message.octets is None else len(message.octets))
        self.inserting += job.octets
        return self._put(job)

    def finish(self, id: str) -> Deferred[None]:
        """Forget a message. Fails with LeaseLost if it is here and not leased."""
        return self._put(_Job("finish", id))

    def call(self, what: Callable[[Ledger], T]) -> Deferred[T]:
        """Do this; it is done again where something else in its batch fails."""
        return self._put(_Job("call", what))

    def tell(self, what: Callable[[Ledger], object]) -> None:
        """Do this some time; from any thread, and nobody waits for it."""
        if not self._stopping:
            self._inbox.put([_Job("call", what, done=False)])

    def stop(self) -> Deferred[None]:
        """Do what was given before, then end; fires when the database is closed."""
        job = _Job("stop", None)
        self._stopping = True
        self._inbox.put([*self._gathered, job])
        self._gathered = []
        return job.done  # type: ignore[return-value]

    def _put(self, job: _Job) -> Deferred[Any]:
        if self._stopping:
            raise OSError(errno.ESHUTDOWN, "the queue is closed")
        if not self._gathered:
            self._reactor.callLater(0, self._hand_over, _TURNS if self._crowded else 1)
        self._gathered.append(job)
        return job.done  # type: ignore[return-value]

    def _hand_over(self, turns: int) -> None:
        """Give the thread what has gathered, in the last of so many turns of the reactor.

        On a disk that syncs quickly a thread that begins at once finds one message at a time,
        and each costs a transaction and a fight for the interpreter. A lone client's message
        does not wait.
        """
        if turns > 1:
            self._reactor.callLater(0, self._hand_over, turns - 1)
        elif self._gathered:
            self._crowded = len(self._gathered) > 1
            self._inbox.put(self._gathered)
            self._gathered = []

    def _run(self) -> None:
        stopped = False
        while not stopped:
            jobs = [*self._inbox.get()]
            try:
                while len(jobs) < _MOST_AT_ONCE:
                    jobs += self._inbox.get_nowait()
            except Empty:
                pass
            stopped = any(job.kind == "stop" for job in jobs)
            work = [job for job in jobs if job.kind != "stop"]
            if work:
                self._settle(work)
            if self._refill_at is not None and time.monotonic() >= self._refill_at:
                ready = self._shelf.take_ballast()
                self._refill_at = None if ready else time.monotonic() + _REFILL
            if stopped:
                self._ledger.close()
            self._reactor.callFromThread(self._answer, jobs)

    def _answer(self, jobs: Sequence[_Job]) -> None:
        for job in jobs:
            self.inserting -= job.octets
            if job.done is not None:
                job.done.callback(job.result)
            elif isinstance(job.result, Failure):
                self._log.failure("the queue could not be changed", failure=job.result)

    def _settle(self, jobs: Sequence[_Job], mended: bool = False) -> None:
        """All together; where that fails one by one, after mending what can be mended once."""
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

    def _mend(self, jobs: Sequence[_Job], wrong: Exception, mended: bool) -> bool:
        """Take the failed batch back; whether it can be hoped that it works now."""
        if is_damage(wrong) and not mended:
            self._ledger = self._shelf.reopened(self._ledger, wrong)
            return True
        self._ledger.rollback()
        if not is_full(wrong):
            return False
        # What is finished makes room: it gets the last of it, new messages do not.
        spent = all(job.kind != "insert" for job in jobs) and self._shelf.drop_ballast()
        if spent:
            self._refill_at = time.monotonic() + _REFILL
        if spent or not mended:
            self._ledger.give_back_log()
            return True
        return False

    def _together(self, jobs: Sequence[_Job]) -> None:
        ledger = self._ledger
        inserts = [job.argument for job in jobs if job.kind == "insert"]
        removals = [job.argument for job in jobs if job.kind == "finish"]
        lost: set[str] = set()
        ledger.begin()
        # A new message, and the end of one, depend on nothing else that waits here.
        if inserts:
            ledger.insert(inserts)
        if removals:
            lost = ledger.finish(removals)
        for job in jobs:
            if job.kind == "call":
                job.result = job.argument(ledger)
            elif job.kind == "finish":
                job.result = _lost(job.argument) if job.argument in lost else None
        ledger.commit()

    def _fail(self, jobs: Sequence[_Job], wrong: BaseException) -> None:
        try:
            free = self._shelf.free
        except OSError:
            free = 1 << 40
        failure = Failure(translated(wrong, free))  # type: ignore[no-untyped-call]
        for job in jobs:
            job.result = failure


def _lost(id: str) -> Failure:
    return Failure(LeaseLost(id))  # type: ignore[no-untyped-call]

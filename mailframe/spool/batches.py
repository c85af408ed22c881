"""Group commit: one thread works, and whatever waits for it meanwhile is its next batch.

While a batch is made durable, the next one gathers: the more sessions commit at once, the fewer
syncs a message costs. The reactor hears of a whole batch in one call.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

Task = TypeVar("Task")

_MOST_AT_ONCE = 512
_TURNS = 5  # of the reactor in which jobs gather, if several came the last time


class Job(Generic[Task]):
    """One thing to do, and who waits for it.

    `result` is for whoever does it to set: a value, or a Failure. `octets` is what it may take
    on the disk, as whoever gave it says.
    """

    __slots__ = ("done", "octets", "result", "task")

    def __init__(self, task: Task, octets: int = 0, waited_for: bool = True) -> None:
        self.task = task
        self.octets = octets
        self.done: Deferred[Any] | None = Deferred() if waited_for else None
        self.result: Any = None


class Batches(Generic[Task]):
    """Runs between `start` and `stop`.

    `work(jobs)` is called in the thread for each batch: it sets every job's result and raises
    nothing; `end()` after the last one. `pending` is the octets of all jobs that are not done.
    `reactor` is IReactorTime and IReactorFromThreads.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        work: Callable[[Sequence[Job[Task]]], None],
        end: Callable[[], None],
        name: str,
    ) -> None:
        self._reactor = reactor
        self._work = work
        self._end = end
        self._inbox: SimpleQueue[Sequence[Job[Task] | None]] = SimpleQueue()  # None: the end
        self._gathered: list[Job[Task]] = []
        self._crowded = False  # several were handed over the last time
        self._stopped: Deferred[None] | None = None  # fires when the thread has ended
        self.pending = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def put(self, job: Job[Task]) -> Deferred[Any]:
        """Its result, or its failure, once it is done. OSError after `stop`."""
        if self._stopped is not None:
            raise OSError(errno.ESHUTDOWN, "the queue is closed")
        assert job.done is not None, "nobody would hear of it"
        if not self._gathered:
            self._reactor.callLater(0, self._hand_over, _TURNS if self._crowded else 1)
        self._gathered.append(job)
        self.pending += job.octets
        return job.done

    def tell(self, task: Task) -> None:
        """Do this some time; from any thread, and nobody waits for it."""
        if self._stopped is None:
            self._inbox.put([Job(task, waited_for=False)])

    def stop(self) -> Deferred[None]:
        """Do what was given before, then end; fires after that."""
        self._stopped = Deferred()
        self._inbox.put([*self._gathered, None])
        self._gathered = []
        return self._stopped

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
        ended = False
        while not ended:
            found = [*self._inbox.get()]
            try:
                while len(found) < _MOST_AT_ONCE:
                    found += self._inbox.get_nowait()
            except Empty:
                pass
            jobs = [job for job in found if job is not None]
            ended = len(jobs) < len(found)
            if jobs:
                self._work(jobs)
            if ended:
                self._end()
            self._reactor.callFromThread(self._answer, jobs, ended)

    def _answer(self, jobs: Sequence[Job[Task]], ended: bool) -> None:
        for job in jobs:
            self.pending -= job.octets
            if job.done is not None:
                job.done.callback(job.result)
            elif isinstance(job.result, Failure):
                self._log.failure("the queue could not be changed", failure=job.result)
        if ended and self._stopped is not None:
            self._stopped.callback(None)

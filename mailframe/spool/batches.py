"""Group commit: one thread works, and the jobs that come meanwhile are its next batch.

While one batch is made durable, the next one gathers. So the more sessions commit at the same time,
the fewer syncs a message costs. The reactor gets the results of a whole batch in one call.
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
_TURNS = 5  # turns of the reactor in which jobs gather, if several came the last time


class Job(Generic[Task]):
    """A task, and the Deferred that waits for it.

    The code that does the task sets `result`: a value, or a Failure. `octets` is how much space it
    may take on the disk, as the caller says.
    """

    __slots__ = ("done", "octets", "result", "task")

    def __init__(self, task: Task, octets: int = 0, waited_for: bool = True) -> None:
        self.task = task
        self.octets = octets
        self.done: Deferred[Any] | None = Deferred() if waited_for else None
        self.result: Any = None


class Batches(Generic[Task]):
    """Gathers jobs and does them in a thread, between `start` and `stop`.

    `work(jobs)` is called in the thread for each batch; it sets every job's result and raises
    nothing. `end()` is called after the last one. `pending` is the octets of all jobs that are not
    finished. `reactor` is IReactorTime and IReactorFromThreads.
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
        self._crowded = False  # several jobs were handed over the last time
        self._stopped: Deferred[None] | None = None  # fires when the thread has ended
        self.pending = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, job: Job[Task]) -> Deferred[Any]:
        """The job's result, or its failure, once it is finished. OSError after `stop`."""
        if self._stopped is not None:
            raise OSError(errno.ESHUTDOWN, "the queue is closed")
        assert job.done is not None, "nobody would hear of it"
        if not self._gathered:
            self._reactor.callLater(0, self._hand_over, _TURNS if self._crowded else 1)
        self._gathered.append(job)
        self.pending += job.octets
        return job.done

    def tell(self, task: Task) -> None:
        """Do this at some time; may be called in any thread, and no result is given."""
        if self._stopped is None:
            self._inbox.put([Job(task, waited_for=False)])

    def stop(self) -> Deferred[None]:
        """Finish the jobs that were given before, then end; fires after that."""
        self._stopped = Deferred()
        self._inbox.put([*self._gathered, None])
        self._gathered = []
        return self._stopped

    def _hand_over(self, turns: int) -> None:
        """Give the thread what has gathered, in the last of so many turns of the reactor.

        On a disk that syncs fast, a thread that began at once would find one message at a time;
        each would cost a transaction and a change of the interpreter's lock. The message of a lone
        client does not wait.
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

"""Group commit: what comes together is done together, in order, by one thread."""

from __future__ import annotations

import threading

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from mailframe.spool.batches import Batches, Job


class BatchesTests(TestCase):
    timeout = 20

    def setUp(self):
        self.done = []
        self.open, self.begun = threading.Event(), threading.Event()
        self.open.set()
        self.ended = False
        self.batches = Batches(reactor, self.work, self.end, "batches under test")
        self.batches.start()
        self.addCleanup(self.close)

    def close(self):
        self.open.set()
        return None if self.ended else self.batches.stop()

    def work(self, jobs):
        self.begun.set()
        self.open.wait(10)
        self.done.append([job.task for job in jobs])
        for job in jobs:
            job.result = Failure(OSError("no")) if job.task == "bad" else f"did {job.task}"

    def end(self):
        self.ended = True

    def put(self, *tasks):
        return [self.batches.put(Job(task)) for task in tasks]

    async def test_what_comes_in_one_turn_is_one_batch(self):
        """Each hears of its own result."""
        assert await gatherResults(self.put("a", "b", "c")) == ["did a", "did b", "did c"]
        assert self.done == [["a", "b", "c"]]

    async def test_what_waits_gathers(self):
        """While a batch is under way the rest becomes the next one."""
        self.open.clear()
        first = self.put("a")
        await deferToThread(self.begun.wait, 10)
        later = self.put("b", "c")
        await turns(10)
        later += self.put("d")
        await turns(10)
        self.open.set()
        await gatherResults(first + later)
        assert self.done == [["a"], ["b", "c", "d"]]

    async def test_a_job_that_fails_fails_alone(self):
        """The others of its batch are done."""
        good, bad = self.put("a", "bad")
        assert await good == "did a"
        with pytest.raises(OSError):
            await bad

    async def test_the_octets_under_way_are_counted(self):
        """From put() until it is answered."""
        self.open.clear()
        waiting = [self.batches.put(Job("a", 700)), self.batches.put(Job("b", 1))]
        assert self.batches.pending == 701
        self.open.set()
        await gatherResults(waiting)
        assert self.batches.pending == 0

    async def test_nobody_waits_for_what_is_told(self):
        """From any thread; a failure is logged."""
        await deferToThread(self.batches.tell, "t")
        self.batches.tell("bad")
        await gatherResults(self.put("a"))
        assert [task for tasks in self.done for task in tasks] == ["t", "bad", "a"]
        assert len(self.flushLoggedErrors(OSError)) == 1

    async def test_the_end_comes_after_what_was_given(self):
        """Then nothing more is taken."""
        waiting = self.put("a", "b")
        await self.batches.stop()
        assert self.ended
        assert await gatherResults(waiting) == ["did a", "did b"]
        with pytest.raises(OSError):
            self.put("c")
        self.batches.tell("d")
        assert self.done == [["a", "b"]]


async def turns(count):
    """So many turns of the reactor."""
    for _ in range(count):
        turn = Deferred()
        reactor.callLater(0, turn.callback, None)
        await turn

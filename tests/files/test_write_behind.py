"""What is written a little later: together, in order, in bounds, never twice at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailframe.files.write_behind import WriteBehind
from mailframe.repeated import SAY_EVERY
from mailframe.testing.values import site


class TestWriteBehind(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.written: list[tuple[list[str], int]] = []
        self.closed = 0
        self.threads: list[tuple[Deferred[Any], Callable[[], Any]]] = []
        self.behind = WriteBehind[str](
            site(reactor=self.clock, in_thread=self.later), self.write, self.close, 0.5, limit=3
        )

    def later(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        self.threads.append((Deferred(), lambda: function(*arguments)))
        return self.threads[-1][0]

    def work(self) -> None:
        """Let the thread do what it was given."""
        done, function = self.threads.pop(0)
        done.callback(function())

    def write(self, items: list[str], dropped: int) -> None:
        self.written.append((items, dropped))

    def close(self) -> None:
        self.closed += 1

    def test_what_comes_within_a_while_is_written_together(self) -> None:
        """Nothing happens before; what comes meanwhile waits for its own turn."""
        self.behind.add("a")
        self.behind.add("b")
        self.clock.advance(0.4)
        assert not self.threads
        self.clock.advance(0.1)
        self.behind.add("c")
        self.clock.advance(5)
        assert len(self.threads) == 1
        self.work()
        self.clock.advance(0.5)
        self.work()
        assert self.written == [(["a", "b"], 0), (["c"], 0)]
        assert not self.clock.getDelayedCalls()

    def test_what_finds_no_room_is_counted(self) -> None:
        """The next write is told how many."""
        for item in "abcde":
            self.behind.add(item)
        self.clock.advance(0.5)
        self.work()
        assert self.written == [(["a", "b", "c"], 2)]

    def test_what_cannot_be_written_is_dropped_and_logged_now_and_then(self) -> None:
        """A full disk does not fill the log, and the writer goes on."""

        def fail() -> None:
            done, _ = self.threads.pop(0)
            done.errback(OSError("full"))

        for seconds in (0.5, 0.5, SAY_EVERY):
            self.behind.add("x")
            self.clock.advance(seconds)
            fail()
        assert len(self.flushLoggedErrors(OSError)) == 2
        self.behind.add("y")
        self.clock.advance(0.5)
        self.work()
        assert self.written == [(["y"], 3)]

    def test_a_flush_waits_for_all_that_was_added(self) -> None:
        """What is being written, and what came meanwhile."""
        self.behind.add("a")
        self.clock.advance(0.5)
        self.behind.add("b")
        flushed = Deferred.fromCoroutine(self.behind.flush())
        self.assertNoResult(flushed)
        self.work()
        self.assertNoResult(flushed)
        self.work()
        self.successResultOf(flushed)
        assert self.written == [(["a"], 0), (["b"], 0)]
        self.successResultOf(Deferred.fromCoroutine(self.behind.flush()))

    def test_two_flushes_at_once_are_both_done(self) -> None:
        """And nothing is written twice."""
        self.behind.add("a")
        flushed = [Deferred.fromCoroutine(self.behind.flush()) for _ in range(2)]
        self.work()
        for each in flushed:
            self.successResultOf(each)
        assert self.written == [(["a"], 0)]

    def test_a_flush_that_meets_a_timer_does_not_wait_for_it(self) -> None:
        """Nor does the timer write again."""
        self.behind.add("a")
        flushed = Deferred.fromCoroutine(self.behind.flush())
        self.work()
        self.successResultOf(flushed)
        self.clock.advance(5)
        assert not self.threads and self.written == [(["a"], 0)]

    def test_stopping_writes_what_waits_and_lets_go(self) -> None:
        """The file is closed last."""
        self.behind.startService()
        self.behind.add("a")
        stopped = self.behind.stopService()
        self.work()
        assert self.written == [(["a"], 0)] and not self.closed
        self.work()
        self.successResultOf(stopped)
        assert self.closed == 1

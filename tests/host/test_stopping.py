"""Stopping in order and in time."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailframe.host.stopping import Stopping


class StoppingTests(SynchronousTestCase):
    """Steps under a Clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.done: list[str] = []
        self.pending: Deferred[Any] = Deferred()

    def run_steps(self, seconds: float) -> Deferred[None]:
        """A step that waits for `pending`, then one that is done at once."""
        stopping = Stopping(self.clock, seconds)

        async def steps() -> None:
            await stopping.step("slow", lambda: self.pending)
            self.done.append("slow")
            await stopping.step("quick", lambda: None)
            self.done.append("quick")

        return Deferred.fromCoroutine(steps())

    def test_waits_for_each(self) -> None:
        """The second step begins when the first is done; no timer is left."""
        finished = self.run_steps(10)
        self.assertEqual(self.done, [])
        self.pending.callback(None)
        self.successResultOf(finished)
        self.assertEqual(self.done, ["slow", "quick"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_goes_on_when_time_is_up(self) -> None:
        """A step that hangs is left as it is, and may still end later."""
        finished = self.run_steps(10)
        self.clock.advance(10)
        self.successResultOf(finished)
        self.assertEqual(self.done, ["slow", "quick"])
        self.pending.callback(None)

    def test_a_failure_is_logged(self) -> None:
        """A step that fails does not keep the next one."""
        finished = self.run_steps(10)
        self.pending.errback(OSError("no"))
        self.successResultOf(finished)
        self.assertEqual(self.done, ["slow", "quick"])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

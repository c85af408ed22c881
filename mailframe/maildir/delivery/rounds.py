"""Gathers messages into rounds, so that messages that come at the same time share syncs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from .deliverer import Results, Task


def _now(start: Callable[[], None]) -> None:
    start()


class Rounds:
    """Gathers tasks into rounds of up to `batch` copies; `carry` delivers one round.

    Up to `at_once` rounds are under way at a time, but a second one only if it is full: the more
    copies go together, the fewer syncs there are. The number of waiting tasks is not limited here;
    the caller must limit it.

    `soon` calls a function after the event that is being handled, so that everything that one event
    adds goes into one round. By default a round begins at once.
    """

    def __init__(
        self,
        carry: Callable[[list[Task]], Deferred[list[Results]]],
        at_once: int,
        batch: int,
        soon: Callable[[Callable[[], None]], object] = _now,
    ) -> None:
        self._carry = carry
        self._at_once = at_once
        self._batch = batch
        self._soon = soon
        self._woken = False  # a round is about to begin
        self._waiting: deque[tuple[Task, Deferred[Results]]] = deque()
        self._running = 0
        self._idle: list[Deferred[None]] = []

    def add(self, task: Task) -> Deferred[Results]:
        """Deliver the task in one of the next rounds.

        Cancelling drops it if its round has not begun.
        """
        done: Deferred[Results] = Deferred(lambda _: self._forget(waiting))
        waiting = (task, done)
        self._waiting.append(waiting)
        if not self._woken and self._running < self._at_once:
            self._woken = True
            self._soon(self._wake)
        return done

    def idle(self) -> Deferred[None]:
        """Fires once nothing is under way and nothing waits."""
        happened: Deferred[None] = Deferred()
        self._idle.append(happened)
        self._tell_idle()
        return happened

    def _tell_idle(self) -> None:
        if not self._running and not self._waiting:
            idle, self._idle = self._idle, []
            for each in idle:
                each.callback(None)

    def _forget(self, waiting: tuple[Task, Deferred[Results]]) -> None:
        # Compare identity, because two tasks may be equal.
        for at, each in enumerate(self._waiting):
            if each is waiting:
                del self._waiting[at]
                break

    def _wake(self) -> None:
        self._woken = False
        self._start()
        self._tell_idle()  # all waiting tasks may have been cancelled

    def _start(self) -> None:
        while self._waiting and self._running < self._at_once:
            if self._running and len(self._waiting) < self._batch:
                break
            together = [self._waiting.popleft()]
            room = self._batch - len(together[0][0].addressees)
            while self._waiting and len(self._waiting[0][0].addressees) <= room:
                together.append(self._waiting.popleft())
                room -= len(together[-1][0].addressees)
            self._running += 1
            self._carry([task for task, _ in together]).addBoth(
                self._finished, [done for _, done in together]
            )

    def _finished(self, results: Any, dones: Sequence[Deferred[Results]]) -> None:
        self._running -= 1
        self._start()
        for at, done in enumerate(dones):
            if not done.called:
                done.callback(results if isinstance(results, Failure) else results[at])
        self._tell_idle()

"""The delivery process as the host sees it: rounds go to it, answers and log lines come back.

A thread that makes many short system calls takes the interpreter's lock from the reactor again and
again. A separate process has its own lock and, if the machine has a spare core, its own core.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ...wire.child import Child, pause
from ...wire.frames import Frames, Lines
from .deliverer import Results, Rules, Task
from .frames import Trouble, read_answer, round_frame, rules_frame

MAX_ANSWER = 1 << 24  # octets; every answer is shorter
MAX_LINE = 1 << 12  # octets of one line that it writes to stderr
PIPE = 1 << 20  # octets that the pipe to it should hold, if the system allows it
PAUSES = (1.0, 60.0)  # seconds before the next one is started: the first and the longest pause
GRACE = 5.0  # seconds within which it must end after the last round

_CHILD = ("-S", "-P", "-m", f"{__package__}.child")


class ProcessLost(Exception):
    """The process ended before it answered; whether the round was delivered is not known."""


class DeliveryProcess:
    """Delivers rounds in a separate process, which is started with the first one, and again if it
    dies.

    If it dies, the next one is started after a pause, which doubles while they keep dying without
    an answer. `section` is shown to the operator by `ps`.
    """

    _log = Logger()

    def __init__(self, reactor: Any, rules: Rules, section: str) -> None:
        self._reactor = reactor
        self._rules = rules
        self._section = section
        self._child: _Child | None = None
        self._deaths = 0  # in a row, without an answer
        self._not_before = float("-inf")
        self._stopped = False

    def is_there(self) -> bool:
        """True if it can be given a round. If not, a process is started if the pause is over."""
        may_begin = self._child is None and not self._stopped
        if may_begin and self._reactor.seconds() >= self._not_before:
            self._begin()
        return self._child is not None and self._child.ready

    @property
    def pid(self) -> int:
        """Its process id; 0 if there is no process."""
        return self._child.pid if self._child is not None else 0

    def deliver(self, tasks: Sequence[Task]) -> Deferred[list[Results]]:
        """Deliver a round whose content is in memory; call it only if `is_there`.

        Fails with ProcessLost if the process dies first; then each message may be delivered or not.
        """
        if self._child is None:
            raise ValueError("there is no process to deliver by")
        return self._child.deliver(tasks)

    def stop(self) -> Deferred[None]:
        """Let it end once it has answered, and start no other one. Fires when it has ended."""
        self._stopped = True
        gone: Deferred[None] = Deferred()
        if self._child is None:
            gone.callback(None)
        else:
            self._child.close(gone)
        return gone

    def _begin(self) -> None:
        child = _Child(self._reactor, self._answered, self._ended)
        self._child = child
        try:
            child.begin(self._reactor, [*_CHILD, self._section], {0: "w", 1: "r", 2: "r"})
        except OSError as failed:
            self._ended(f"cannot be started: {failed}", 0)
            return
        child.take_rules(rules_frame(self._rules))

    def _answered(self) -> None:
        self._deaths = 0

    def _ended(self, how: str, lost: int) -> None:
        self._child = None
        if self._stopped and not lost:
            return
        self._deaths += 1
        seconds = pause(self._deaths, *PAUSES)
        self._not_before = self._reactor.seconds() + seconds
        self._log.error(
            "{section}: the delivery process: {how}; {lost} rounds under way will be tried again,"
            " threads deliver for {pause:g} seconds",
            section=self._section,
            how=how,
            lost=lost,
            pause=seconds,
        )


class _Child(Child):
    """One process, from its start to its end."""

    _log = Logger()

    def __init__(
        self, reactor: Any, answered: Callable[[], None], ended: Callable[[str, int], None]
    ) -> None:
        super().__init__({1: Frames(MAX_ANSWER), 2: Lines(MAX_LINE)})
        self._reactor = reactor
        self._answered = answered
        self._ended = ended
        self._rounds: deque[tuple[list[int], Deferred[list[Results]]]] = deque()
        self.ready = False  # it has said that it is ready

    def take_rules(self, rules: bytes) -> None:
        """Tell it the rules, before anything else."""
        pipe = getattr(self.transport, "pipes", {}).get(0)
        if pipe is not None:
            # The system limits the memory for large pipes of one user; beyond that this pipe stays
            # small.
            with contextlib.suppress(OSError, AttributeError):
                fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE)
        self.write(0, rules)

    def deliver(self, tasks: Sequence[Task]) -> Deferred[list[Results]]:
        """Give it a round. Fails with ProcessLost if it dies first."""
        answer: Deferred[list[Results]] = Deferred()
        self._rounds.append(([len(task.addressees) for task in tasks], answer))
        self.write(0, round_frame(tasks))
        return answer

    def close(self, gone: Deferred[None]) -> None:
        """No more rounds follow: it ends after the last one, or is killed."""
        self.ended.wait().addCallback(lambda _: gone.callback(None))
        if self.transport is not None:
            self.transport.closeStdin()
        self.unless_it_ends(self._reactor, GRACE, lambda: self.kill("did not end by itself"))

    def said(self, descriptor: int, octets: bytes) -> None:
        """Handle an answer, or a line for the log."""
        if descriptor == 2:
            if octets.strip():
                # A field, never a format.
                self._log.warn("{text}", text=octets[:MAX_LINE].decode("utf-8", "replace"))
        elif not self.failure and not self._answer(octets):
            self.kill("said what is no answer")

    def _answer(self, text: bytes) -> bool:
        """Take the answer to the oldest round. False if the text is no answer to it."""
        try:
            results = read_answer(text)
        except (ValueError, TypeError):
            return False
        if not self.ready:
            self.ready = results == []
            return self.ready
        if not self._rounds or [len(each) for each in results] != self._rounds[0][0]:
            return False
        _, answer = self._rounds.popleft()
        self._answered()
        answer.callback(results)
        return True

    def is_over(self, how: str) -> None:
        """Whether the rounds under way were delivered is not known, so they fail."""
        rounds, self._rounds = self._rounds, deque()
        self._ended(how, len(rounds))
        for _, answer in rounds:
            answer.errback(ProcessLost(how))


__all__ = ["DeliveryProcess", "ProcessLost", "Trouble"]

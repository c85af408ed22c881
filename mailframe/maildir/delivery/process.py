"""the delivery process as the host sees it: rounds to it, answers and log lines from it.

Many short system calls in a thread take the interpreter's lock away from the reactor again
and again; a process of its own has its own lock and, where there is one, its own core.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from .deliverer import Results, Rules, Task
from .frames import LENGTH, Trouble, read_answer, round_frame, rules_frame

MAX_ANSWER = 1 << 24  # octets; no round is answered in so many
MAX_LINE = 1 << 12  # octets of one line of what it says to stderr
PIPE = 1 << 20  # octets that the pipe to it holds, where the system lets us
PAUSES = (1.0, 60.0)  # seconds before another is begun: at first, at most
GRACE = 5.0  # seconds that it has to end after the last round

_CHILD = ("-S", "-P", "-m", f"{__package__}.child")


class ProcessLost(Exception):
    """The process ended before it answered: nobody knows what became of the round."""


class DeliveryProcess:
    """Delivers rounds in a process of its own, begun at the first one and again when it dies.

    Between its death and the next one's birth there is a pause, doubled while they keep dying
    without an answer. `section` is what an operator reads in `ps`.
    """

    _log = Logger()

    def __init__(self, reactor: Any, rules: Rules, section: str) -> None:
        self._reactor = reactor
        self._rules = rules
        self._section = section
        self._child: _Child | None = None
        self._pause = PAUSES[0]
        self._not_before = float("-inf")
        self._stopped = False

    def is_there(self) -> bool:
        """Whether a round may be given to it; begins it, for later, where it is time to."""
        may_begin = self._child is None and not self._stopped
        if may_begin and self._reactor.seconds() >= self._not_before:
            self._begin()
        return self._child is not None and self._child.ready

    @property
    def pid(self) -> int:
        """Its number, 0 where there is none."""
        return self._child.pid if self._child is not None else 0

    def deliver(self, tasks: Sequence[Task]) -> Deferred[list[Results]]:
        """A round, whose content is at hand; only where `is_there`.

        Fails with ProcessLost where it died meanwhile: each message may be there or not.
        """
        if self._child is None:
            raise ValueError("there is no process to deliver by")
        return self._child.deliver(tasks)

    def stop(self) -> Deferred[None]:
        """Let it end once it has answered, and begin no other. Fires when it is gone."""
        self._stopped = True
        gone: Deferred[None] = Deferred()
        if self._child is None:
            gone.callback(None)
        else:
            self._child.close(gone)
        return gone

    def _begin(self) -> None:
        child = _Child(self._reactor, self._answered, self._ended)
        argv = [sys.executable, *_CHILD, self._section]
        # The same modules as here; with -S no other folder is looked at.
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        pipes = {0: "w", 1: "r", 2: "r"}
        self._child = child
        try:
            self._reactor.spawnProcess(child, sys.executable, argv, env, childFDs=pipes)
        except OSError as failed:
            self._ended(f"cannot be started: {failed}", 0)
            return
        child.begin(rules_frame(self._rules))

    def _answered(self) -> None:
        self._pause = PAUSES[0]

    def _ended(self, how: str, lost: int) -> None:
        self._child = None
        if self._stopped and not lost:
            return
        self._not_before = self._reactor.seconds() + self._pause
        self._log.error(
            "{section}: the delivery process: {how}; {lost} rounds under way will be tried again,"
            " threads deliver for {pause:g} seconds",
            section=self._section,
            how=how,
            lost=lost,
            pause=self._pause,
        )
        self._pause = min(2 * self._pause, PAUSES[1])


class _Child(ProcessProtocol):
    """One process, from its birth to its end."""

    _log = Logger()
    transport: Any = None

    def __init__(
        self, reactor: Any, answered: Callable[[], None], ended: Callable[[str, int], None]
    ) -> None:
        self._reactor = reactor
        self._answered = answered
        self._ended = ended
        self._rounds: deque[tuple[list[int], Deferred[list[Results]]]] = deque()
        self.ready = False  # it has said so
        self._octets = b""
        self._line = b""
        self._gone: Deferred[None] | None = None
        self._kill: Any = None
        self._why = ""  # we ended it ourselves

    @property
    def pid(self) -> int:
        """Its number, 0 once it has ended."""
        return (self.transport.pid or 0) if self.transport is not None else 0

    def begin(self, rules: bytes) -> None:
        """The first words to it."""
        pipe = getattr(self.transport, "pipes", {}).get(0)
        if pipe is not None:
            # A user's share of such pipes may be used up: then it is a small one.
            with contextlib.suppress(OSError, AttributeError):
                fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE)
        self._write(rules)

    def deliver(self, tasks: Sequence[Task]) -> Deferred[list[Results]]:
        """A round for it."""
        answer: Deferred[list[Results]] = Deferred()
        self._rounds.append(([len(task.addressees) for task in tasks], answer))
        self._write(round_frame(tasks))
        return answer

    def close(self, gone: Deferred[None]) -> None:
        """No round follows: it ends after the last one, or is ended."""
        self._gone = gone
        if self.transport is not None:
            self.transport.closeStdin()
        self._kill = self._reactor.callLater(GRACE, self._end, "did not end by itself")

    def _write(self, octets: bytes) -> None:
        # It may have closed the pipe and be gone soon; then its end is told.
        with contextlib.suppress(KeyError):
            self.transport.writeToChild(0, octets)

    def _end(self, why: str) -> None:
        self._why = self._why or why
        with contextlib.suppress(ProcessExitedAlready):
            self.transport.signalProcess("KILL")

    def outReceived(self, data: bytes) -> None:
        if self._why:
            return None
        self._octets += data
        while len(self._octets) >= LENGTH:
            size = int.from_bytes(self._octets[:LENGTH], "big")
            if size > MAX_ANSWER:
                return self._end("said what is no answer")
            if len(self._octets) < LENGTH + size:
                return None
            text, self._octets = (
                self._octets[LENGTH : LENGTH + size],
                self._octets[LENGTH + size :],
            )
            if not self._answer(text):
                return self._end("said what is no answer")
        return None

    def _answer(self, text: bytes) -> bool:
        """Take the answer to the oldest round; False where it is none."""
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

    def errReceived(self, data: bytes) -> None:
        *lines, self._line = (self._line + data).split(b"\n")
        for line in (*lines, *([self._line] if len(self._line) > MAX_LINE else [])):
            self._say(line)
        self._line = self._line if len(self._line) <= MAX_LINE else b""

    def _say(self, line: bytes) -> None:
        if line.strip():
            # A field, never a format.
            self._log.warn("{text}", text=line[:MAX_LINE].decode("utf-8", "replace"))

    def processEnded(self, reason: Failure) -> None:
        """Twisted: it is gone, and so is all that it had to say."""
        self._say(self._line)
        if self._kill is not None and self._kill.active():
            self._kill.cancel()
        code, number = getattr(reason.value, "exitCode", None), getattr(reason.value, "signal", 0)
        how = f"killed by signal {number}" if number else f"exit status {code}"
        rounds, self._rounds = self._rounds, deque()
        self._ended(self._why or how, len(rounds))
        for _, answer in rounds:
            answer.errback(ProcessLost(self._why or how))
        if self._gone is not None:
            self._gone.callback(None)


__all__ = ["DeliveryProcess", "ProcessLost", "Trouble"]

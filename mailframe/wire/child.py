"""Processes that this one starts and talks to over pipes.

A `Child` runs a module of mailframe with the same Python and the same modules as here. What it
writes comes in lines or frames; octets can be written to it; one that does not end is killed. If it
dies, the code that keeps it waits for `pause` seconds before it starts the next one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from .frames import Frames, Lines, TooLong

T = TypeVar("T")


def pause(deaths: int, first: float, longest: float) -> float:
    """Seconds to wait after so many deaths in a row: `first`, doubled each time up to `longest`."""
    return float(min(longest, first * 2 ** min(deaths - 1, 20)))


def keep_beyond_limit() -> list[int]:
    """Let no process inherit open files whose numbers are beyond RLIMIT_NOFILE; their numbers.

    They were opened before the limit was lowered, by whatever started this process. A new process
    is told to close what it should not inherit, and the C library fails with EBADF for such a
    number ("Bad file descriptor"). Close-on-exec needs nobody to be told.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    kept = []
    for number in map(int, os.listdir("/dev/fd")):
        with contextlib.suppress(OSError):  # listing them has opened, and closed, one more
            if number >= limit and os.get_inheritable(number):
                os.set_inheritable(number, False)
                kept.append(number)
    return kept


class Once(Generic[T]):
    """Something that happens once; any number of callers may wait for it."""

    def __init__(self) -> None:
        self._waiting: list[Deferred[T]] = []
        self._value: list[T] = []

    def __bool__(self) -> bool:
        return bool(self._value)

    def happens(self, value: T) -> None:
        """It happens now; a second time has no effect."""
        if self._value:
            return
        self._value.append(value)
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(value)

    def wait(self) -> Deferred[T]:
        """Fires with the value, at once if it has happened."""
        happened: Deferred[T] = Deferred()
        if self._value:
            happened.callback(self._value[0])
        else:
            self._waiting.append(happened)
        return happened


class Child(ProcessProtocol):
    """One process. `listening` says how the output on each descriptor is to be cut.

    `ended` happens when the process is gone and all of its output has been handled, with a text
    that says how it ended. `failure` is the reason, if the process or we have given one. Subclasses
    implement `said` and `is_over`.
    """

    transport: Any = None

    def __init__(self, listening: Mapping[int, Lines | Frames]) -> None:
        self._listening = listening
        self.failure = ""
        self.ended: Once[str] = Once()

    def begin(
        self, reactor: Any, arguments: Sequence[str], descriptors: Mapping[int, int | str]
    ) -> None:
        """Start `python ARGUMENTS`, with `descriptors` as spawnProcess takes them.

        OSError if the system cannot start another process.
        """
        # The same modules as here, wherever this Python found them.
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        argv = [sys.executable, *arguments]

        def spawn() -> None:
            reactor.spawnProcess(self, sys.executable, argv, env, childFDs=dict(descriptors))

        try:
            spawn()
        except OSError as failed:
            if failed.errno != errno.EBADF or not keep_beyond_limit():
                raise
            spawn()

    @property
    def pid(self) -> int:
        """Its process id; 0 before its start and after its end."""
        return (self.transport.pid or 0) if self.transport is not None else 0

    def said(self, descriptor: int, octets: bytes) -> None:
        """It has written this line, without its end, or this frame.

        Subclasses replace this. If its output cannot be a frame, it is killed.
        """

    def is_over(self, how: str) -> None:
        """It has ended and has nothing more to say.

        `ended` happens next. Subclasses replace this.
        """

    def write(self, descriptor: int, octets: bytes) -> None:
        """Write to it; if it has ended or does not read, the octets are lost."""
        if self.transport is None or self.ended:
            return
        try:
            self.transport.writeToChild(descriptor, octets)
        except KeyError:
            pass  # it has closed the pipe, and will end soon

    def kill(self, why: str = "") -> None:
        """Kill it. `why` is the text of `ended`, unless a reason was given before."""
        self.failure = self.failure or why
        try:
            if self.transport is not None:
                self.transport.signalProcess("KILL")
        except ProcessExitedAlready:
            pass

    def unless_it_ends(
        self, reactor: IReactorTime, seconds: float, kill: Callable[[], object]
    ) -> None:
        """Call `kill` if it has not ended after so many seconds."""
        timer = reactor.callLater(seconds, kill)

        def ended(_how: str) -> None:
            if timer.active():
                timer.cancel()

        self.ended.wait().addCallback(ended)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        try:
            for piece in self._listening[childFD].feed(data):
                self.said(childFD, piece)
        except TooLong as wrong:
            self.kill(f"said what is no answer: {wrong}")

    def processEnded(self, reason: Failure) -> None:
        """Called by Twisted when it has ended and its output has been read."""
        for descriptor, reader in self._listening.items():
            rest = reader.rest()
            if rest:
                self.said(descriptor, rest)
        code, number = getattr(reason.value, "exitCode", None), getattr(reason.value, "signal", 0)
        how = self.failure or (f"killed by signal {number}" if number else f"exit status {code}")
        self.is_over(how)
        self.ended.happens(how)

"""Processes that this one begins and speaks with over pipes, each from birth to end.

A `Child` runs a module of ours with the same Python and the same modules as here. What it says
comes in lines or frames, octets are written to it, and one that does not end is killed. Whoever
keeps such a process waits for `pause` seconds before the next one's birth.
"""

from __future__ import annotations

import os
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
    """Seconds to wait after so many deaths in a row: `first`, doubled each time, `longest`."""
    return float(min(longest, first * 2 ** min(deaths - 1, 20)))


class Once(Generic[T]):
    """Something that happens once, awaited by as many as want to."""

    def __init__(self) -> None:
        self._waiting: list[Deferred[T]] = []
        self._value: list[T] = []

    def __bool__(self) -> bool:
        return bool(self._value)

    def happens(self, value: T) -> None:
        """Now; a second time means nothing."""
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
    """One process. `listening` says how what it writes to each descriptor is to be cut.

    `ended` happens when it is gone and all that it said has been heard, with how it ended in
    words. `failure` is why it ended, if it or we have said so. Subclasses hear it by `said` and
    `is_over`.
    """

    transport: Any = None

    def __init__(self, listening: Mapping[int, Lines | Frames]) -> None:
        self._listening = listening
        self.failure = ""
        self.ended: Once[str] = Once()

    def begin(
        self, reactor: Any, arguments: Sequence[str], descriptors: Mapping[int, int | str]
    ) -> None:
        """Begin `python ARGUMENTS`, `descriptors` as spawnProcess takes them.

        OSError if the system has no room for it.
        """
        # The same modules as here, wherever this Python found them.
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        argv = [sys.executable, *arguments]
        reactor.spawnProcess(self, sys.executable, argv, env, childFDs=dict(descriptors))

    @property
    def pid(self) -> int:
        """Its number, 0 before its birth and after its end."""
        return (self.transport.pid or 0) if self.transport is not None else 0

    def said(self, descriptor: int, octets: bytes) -> None:
        """It has written this line, without its end, or the octets of this frame.

        Subclasses replace this. If what it writes cannot be a frame, it is killed.
        """

    def is_over(self, how: str) -> None:
        """It is gone, and has nothing more to say; `ended` happens next. Subclasses replace it."""

    def write(self, descriptor: int, octets: bytes) -> None:
        """Write to it; what is written to one that is gone or does not listen is lost."""
        if self.transport is None or self.ended:
            return
        try:
            self.transport.writeToChild(descriptor, octets)
        except KeyError:
            pass  # it has closed the pipe, and will be gone soon

    def kill(self, why: str = "") -> None:
        """End it at once. `why` is what `ended` says then, if nothing was said before."""
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
        """Twisted: it is gone, and so is all that it had to say."""
        for descriptor, reader in self._listening.items():
            rest = reader.rest()
            if rest:
                self.said(descriptor, rest)
        code, number = getattr(reason.value, "exitCode", None), getattr(reason.value, "signal", 0)
        how = self.failure or (f"killed by signal {number}" if number else f"exit status {code}")
        self.is_over(how)
        self.ended.happens(how)

"""a worker as the supervisor sees it: a process, orders to it, words and log lines from it."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from functools import lru_cache
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from .launch import (
    CLOSED,
    FAILED,
    LOCK,
    MAX_TEXT,
    ORDERS,
    READY,
    SOCKETS,
    STANDING_BY,
    WORDS,
    Launch,
)

T = TypeVar("T")

_LINE = 8 * MAX_TEXT  # octets of one line of WORDS: JSON's escapes are longer than the text
_LEVELS = {level.name: level for level in LogLevel.iterconstants()}


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
        """Fires with the value, at once where it has happened."""
        happened: Deferred[T] = Deferred()
        if self._value:
            happened.callback(self._value[0])
        else:
            self._waiting.append(happened)
        return happened


class WorkerProcess(ProcessProtocol):
    """One process, from its birth to its end.

    `standing_by` and `ready` give True, or False where the process ended before; `closed`
    happens when it lets nobody in any more; `ended` gives how it ended, in words.
    """

    _log = Logger()

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.number = launch.number
        self.standing_by: Once[bool] = Once()
        self.ready: Once[bool] = Once()
        self.closed: Once[None] = Once()
        self.ended: Once[str] = Once()
        self.failure = ""  # why it could not start, where it said so
        self._lines = {2: b"", WORDS: b""}

    def spawn(self, reactor: Any, lock: int, sockets: dict[str, int]) -> None:
        """Begin the process. OSError where the system has no room for it."""
        names = {name: SOCKETS + place for place, name in enumerate(sockets)}
        self.launch = replace(
            self.launch,
            sockets=names,
            supervised=True,
            python_path=os.environ.get("PYTHONPATH"),
        )
        descriptors: dict[int, int | str] = {ORDERS: "w", 1: 1, 2: "r", WORDS: "r", LOCK: lock}
        descriptors |= {names[name]: descriptor for name, descriptor in sockets.items()}
        # The same modules as here, wherever twistd found them.
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        argv = [sys.executable, "-P", "-m", "mailframe.host.workers.main", str(self.number)]
        reactor.spawnProcess(self, sys.executable, argv, env, childFDs=descriptors)

    @property
    def pid(self) -> int:
        """Its number, 0 once it has ended."""
        return (self.transport.pid or 0) if self.transport is not None else 0

    def connectionMade(self) -> None:
        self._write(self.launch.encoded())

    def go(self) -> None:
        """Open the queue and let clients in."""
        self._write(b"go\n")

    def retire(self) -> None:
        """Let nobody in, let those who are here finish, then stop."""
        self._write(b"retire\n")

    def stop(self) -> None:
        """Stop gracefully."""
        self._write(b"stop\n")

    def kill(self) -> None:
        """End it at once."""
        try:
            if self.transport is not None:
                self.transport.signalProcess("KILL")
        except ProcessExitedAlready:
            pass

    def _write(self, octets: bytes) -> None:
        if self.transport is not None and not self.ended:
            try:
                self.transport.writeToChild(ORDERS, octets)
            except KeyError:
                pass  # it has closed the pipe, and will be gone soon

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        *lines, rest = (self._lines[childFD] + data).split(b"\n")
        if len(rest) > _LINE:
            lines, rest = [*lines, rest], b""
        self._lines[childFD] = rest
        for line in lines:
            self._said(childFD, line)

    def _said(self, descriptor: int, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        if descriptor == WORDS:
            try:
                words = json.loads(line)
                if "word" in words:
                    self._word(str(words["word"]), str(words["text"]))
                else:
                    self._logged(str(words["level"]), str(words["system"]), str(words["text"]))
                return
            except (ValueError, KeyError, TypeError):
                text = f"unintelligible: {text[:200]}"
        if text.strip():
            self._logged("warn", "stderr", text[:MAX_TEXT])

    def _word(self, word: str, text: str) -> None:
        if word == STANDING_BY:
            self.standing_by.happens(True)
        elif word == READY:
            self.ready.happens(True)
        elif word == CLOSED:
            self.closed.happens(None)
        elif word == FAILED:
            self.failure = text

    def _logged(self, level: str, system: str, text: str) -> None:
        # The text is a field, never a format: a worker has fewer rights than we.
        log = _log_of(f"worker {self.number}: {system}")
        log.emit(_LEVELS.get(level, LogLevel.info), "{text}", text=text)

    def processEnded(self, reason: Failure) -> None:
        """Twisted: it is gone, and so is all that it had to say."""
        for descriptor, rest in self._lines.items():
            self._said(descriptor, rest) if rest else None
        code, number = getattr(reason.value, "exitCode", None), getattr(reason.value, "signal", 0)
        how = f"killed by signal {number}" if number else f"exit status {code}"
        self.standing_by.happens(False)
        self.ready.happens(False)
        self.closed.happens(None)
        self.ended.happens(self.failure or how)


@lru_cache(maxsize=500)
def _log_of(namespace: str) -> Logger:
    return Logger(namespace)

"""A worker as the supervisor sees it: its process, orders to it, words and log lines from it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import lru_cache
from typing import Any

from twisted.logger import Logger, LogLevel

from ...wire.child import Child, Once
from ...wire.frames import Lines
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

_LINE = 8 * MAX_TEXT  # octets of one line of WORDS; JSON's escapes make it longer than the text
_LEVELS = {level.name: level for level in LogLevel.iterconstants()}


class WorkerProcess(Child):
    """One worker process, from its start to its end.

    `standing_by` and `ready` give True, or False if the process ended before. `closed` happens when
    it accepts no more clients. `failure` says why it could not start, if the worker told.
    """

    def __init__(self, launch: Launch) -> None:
        super().__init__({2: Lines(_LINE), WORDS: Lines(_LINE)})
        self.launch = launch
        self.number = launch.number
        self.standing_by: Once[bool] = Once()
        self.ready: Once[bool] = Once()
        self.closed: Once[None] = Once()

    def spawn(self, reactor: Any, lock: int, sockets: dict[str, int]) -> None:
        """Start the process. OSError if the system cannot start another one."""
        names = {name: SOCKETS + place for place, name in enumerate(sockets)}
        self.launch = replace(
            self.launch,
            sockets=names,
            supervised=True,
            python_path=os.environ.get("PYTHONPATH"),
        )
        descriptors: dict[int, int | str] = {ORDERS: "w", 1: 1, 2: "r", WORDS: "r", LOCK: lock}
        descriptors |= {names[name]: descriptor for name, descriptor in sockets.items()}
        argv = ["-P", "-m", "mailframe.host.workers.main", str(self.number)]
        self.begin(reactor, argv, descriptors)

    def connectionMade(self) -> None:
        self._write(self.launch.encoded())

    def go(self) -> None:
        """Order it to open the queue and accept clients."""
        self._write(b"go\n")

    def retire(self) -> None:
        """Order it to accept no more clients, let the present ones finish, and then stop."""
        self._write(b"retire\n")

    def stop(self) -> None:
        """Order it to stop gracefully."""
        self._write(b"stop\n")

    def _write(self, octets: bytes) -> None:
        self.write(ORDERS, octets)

    def said(self, descriptor: int, octets: bytes) -> None:
        """Handle one line: a word, or a text for the log."""
        text = octets.decode("utf-8", "replace")
        if descriptor == WORDS:
            try:
                words = json.loads(octets)
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
        # The text is a field, never a format: a worker has fewer rights than this process.
        log = _log_of(f"worker {self.number}: {system}")
        log.emit(_LEVELS.get(level, LogLevel.info), "{text}", text=text)

    def is_over(self, how: str) -> None:
        """The process has ended: whatever has not happened yet will not happen."""
        self.standing_by.happens(False)
        self.ready.happens(False)
        self.closed.happens(None)


@lru_cache(maxsize=500)
def _log_of(namespace: str) -> Logger:
    return Logger(namespace)

"""[[observe]] plugin = "log", file = "/var/log/mailframe.json", stages = ["deliver", "queue"]

Writes every decision as a line of JSON: time, stage, verdict and, if there are any, plugin, id,
session, milliseconds and the event's own facts. `file = "-"` is standard output. If the file was
renamed or removed (by logrotate), a new one is made. Texts of strangers stay inside their strings:
control characters and everything beyond ASCII are escaped.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from select import PIPE_BUF
from typing import Any

from zope.interface import implementer

from mailframe.files.write_behind import WriteBehind
from mailframe.interfaces import IObserver
from mailframe.message import Event
from mailframe.message.vocabulary import Stage, StageName, Verdict
from mailframe.plugin import Duration, Plugin, SettingError, Site, setting


@dataclass(frozen=True)
class Settings:
    """The settings."""

    file: str = setting('the file to add lines to, "-" for the standard output', "-")
    stages: tuple[StageName, ...] = setting("only these stages; by default all", ())
    every: Duration = setting("seconds that lines may wait to be written together", Duration(0.2))
    waiting: int = setting("lines that may wait; more are dropped and counted", 20_000)


@implementer(IObserver)
class Log(WriteBehind[Event]):
    """Writes events as JSON lines."""

    def __init__(self, settings: Settings, site: Site) -> None:
        super().__init__(site, self._add_lines, self._let_go, settings.every, settings.waiting)
        self.wants = frozenset[str](settings.stages) or None
        self._path = None if settings.file == "-" else site.folder / settings.file
        if self._path is not None and not self._path.parent.is_dir():
            raise SettingError("file", f"{self._path.parent} is not a folder")
        if self._path is not None:
            site.will_write("file", self._path)
        self._now = site.now
        self._file = -1

    def observe(self, event: Event) -> None:
        """Keep the event, to be written soon."""
        self.add(event)

    def _add_lines(self, events: list[Event], dropped: int) -> None:
        """Called in a thread."""
        if dropped:
            missed = {"dropped": dropped}
            events = [
                Event(self._now(), Stage.OBSERVE, Verdict.DROPPED, "log", facts=missed),
                *events,
            ]
        lines = [line(event).encode("ascii") for event in events]
        file = self._opened()
        for octets in [b"".join(lines)] if self._path else _pieces(lines):
            while octets:
                octets = octets[os.write(file, octets) :]

    def _opened(self) -> int:
        """The file; opened again if another one or none is in its place."""
        if self._path is None:
            return sys.__stdout__.fileno() if sys.__stdout__ is not None else 1
        if self._file >= 0:
            mine = os.fstat(self._file)
            try:
                there = self._path.stat()
            except FileNotFoundError:
                there = None
            if there and (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino):
                return self._file
            self._let_go()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(self._path, flags, 0o640)
        return self._file

    def _let_go(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _pieces(lines: list[bytes]) -> Iterator[bytes]:
    """Whole lines, no more at once than a pipe takes in one piece from several processes.

    A file opened for appending takes each write in one piece, whatever its size.
    """
    piece = b""
    for each in lines:
        if piece and len(piece) + len(each) > PIPE_BUF:
            yield piece
            piece = b""
        piece += each
    yield piece


def line(event: Event) -> str:
    """One event as one line of ASCII, with the line break. Never fails."""
    at = datetime.fromtimestamp(event.time, UTC)
    record: dict[str, Any] = {
        "time": at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "stage": event.stage,
        "verdict": event.verdict,
    }
    for key in ("plugin", "id", "session"):
        if getattr(event, key):
            record[key] = getattr(event, key)
    if event.milliseconds:
        record["milliseconds"] = round(event.milliseconds, 3)
    for key, fact in _plain(event.facts).items():
        record[key if key not in record else f"fact_{key}"] = fact
    return json.dumps(record, ensure_ascii=True, separators=(",", ":")) + "\n"


def _plain(facts: Mapping[str, object]) -> dict[str, Any]:
    """The facts as JSON can express them; others as Python writes them."""
    try:
        said = json.dumps({str(key): fact for key, fact in facts.items()}, default=str)
        plain: dict[str, Any] = json.loads(said, parse_constant=str)
    except (TypeError, ValueError, RecursionError):
        return {str(key): repr(fact)[:1000] for key, fact in facts.items()}
    return plain


plugin = Plugin("log", IObserver, Settings, Log)

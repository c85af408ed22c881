"""Counts the host's decisions for Prometheus, in a file that its node exporter reads.

https://prometheus.io/docs/instrumenting/exposition_formats/ is the format.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from mailframe.eventual import settled
from mailframe.interfaces import IObserver
from mailframe.message import Event
from mailframe.plugin import Duration, SettingError, Site, setting

MOST = 1000  # different counters; plugins may tell verdicts of their own, without end

HELP = """\
# HELP mailframe_decisions_total Decisions of the host by stage, plugin and verdict.
# TYPE mailframe_decisions_total counter
"""
GAUGES = """\
# HELP mailframe_queue What is in the queue.
# TYPE mailframe_queue gauge
"""


@implementer(IObserver)
class Metrics(Service):
    """`[[observe]] plugin = "metrics:Metrics"`; a Service, so the host starts and stops it."""

    _log = Logger()
    wants = None  # all stages

    @dataclass(frozen=True)
    class Settings:
        """The settings."""

        file: Path = setting("the file to write; its name ends in .prom")
        every: Duration = setting("seconds between two versions of the file", Duration(15.0))

    def __init__(self, settings: Settings, site: Site) -> None:
        if settings.file.suffix != ".prom":
            raise SettingError("file", "node exporters read only names that end in .prom")
        # Each worker counts for itself, in a file of its own.
        self.file = settings.file.with_suffix(f".{site.worker}.prom")
        site.will_write("file", self.file)
        self._site = site
        self._every = settings.every
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._loop = LoopingCall(self._write)
        self._loop.clock = site.reactor
        self._ended: Deferred[LoopingCall] | None = None

    def observe(self, event: Event) -> None:
        """Count it. Nothing here takes long; the file is written later, in a thread."""
        key = (event.stage, event.plugin, verdict(event.verdict))
        if key not in self._counts and len(self._counts) >= MOST:
            key = (event.stage, "", "other")
        self._counts[key] += 1

    def startService(self) -> None:
        """The host is ready to start."""
        super().startService()
        self._ended = self._loop.start(self._every, now=False)

    async def _write(self) -> None:
        """A failure is logged and tried again at the next turn: a LoopingCall would end by it."""
        try:
            summary = await settled(self._site.ask("summary"))
            lines = [*self._decisions(), *self._queue(summary)]
            await self._site.in_thread(replace, self.file, "".join(lines))
        except Exception:  # noqa: BLE001
            self._log.failure("{file}: not written", file=str(self.file))

    def _decisions(self) -> Iterator[str]:
        yield HELP
        for (stage, plugin, word), count in sorted(self._counts.items()):
            labels = self._labels(stage=stage, plugin=plugin, verdict=word)
            yield f"mailframe_decisions_total{labels} {count}\n"

    def _queue(self, summary: Iterable[Mapping[str, Any]]) -> Iterator[str]:
        """What `mailframe queue summary` counts."""
        yield GAUGES
        for row in summary:
            for name, count in row.get("counts", {}).items():
                yield f"mailframe_queue{self._labels(what=name)} {count}\n"

    def _labels(self, **labels: str) -> str:
        pairs = {**labels, "worker": str(self._site.worker)}
        return "{" + ",".join(f'{name}="{quoted(text)}"' for name, text in pairs.items()) + "}"

    def stopService(self) -> Deferred[None]:
        """The host is stopping: the last numbers are written."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._loop.running and self._ended is not None:
            self._loop.stop()
            await self._ended
        await self._write()


def verdict(text: str) -> str:
    """The verdict, or only the code of a reply: its words may be different each time."""
    return text[:3] if text[:3].isdecimal() else text


def quoted(text: str) -> str:
    """The text as a label's value."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def replace(file: Path, text: str) -> None:
    """Write the file in one step, so that nobody reads half of it. Called in a thread."""
    new = file.with_name(f"{file.name}.new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, file)

"""What a server costs: CPU and memory of its processes, read from /proc."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")


class Usage(NamedTuple):
    """Of a server with all its children, those that ended included."""

    cpu: float  # seconds, user and system
    memory: float  # octets: PSS, so that what processes share is counted once


def usage(root: int, memory: bool = False) -> Usage:
    """Of the process `root` and all below it."""
    total = octets = 0.0
    for pid, ticks in _family(root):
        total += ticks / TICKS
        if memory:
            octets += _pss(pid)
    return Usage(total, octets)


def _family(root: int) -> Iterator[tuple[int, int]]:
    parents: dict[int, list[int]] = {}
    spent: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
            spent[int(entry.name)] = sum(map(int, fields[11:15]))
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid, spent.get(pid, 0)
        waiting += parents.get(pid, [])


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


class Peak:
    """The most memory that a server had while this context was open; `octets` afterwards."""

    def __init__(self, root: int, every: float = 0.25) -> None:
        self._root = root
        self._every = every
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.octets = 0.0

    def _look(self) -> None:
        while True:
            self.octets = max(self.octets, usage(self._root, memory=True).memory)
            if self._ended.wait(self._every):
                return

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._ended.set()
        self._thread.join()

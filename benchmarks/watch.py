"""Measures the CPU time and memory of a server's processes, read from /proc."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")


class Usage(NamedTuple):
    """What a server and all its children have used, including those that have ended."""

    cpu: float  # seconds, user and system
    memory: float  # octets of PSS, so that shared pages count once


def usage(root: int, memory: bool = False) -> Usage:
    """The usage of the process `root` and all its descendants."""
    total = octets = 0.0
    for pid in family(root):
        total += _ticks(pid) / TICKS
        if memory:
            octets += _pss(pid)
    return Usage(total, octets)


def settle(root: int, wait: Callable[[float], None] = time.sleep, looks: int = 40) -> float:
    """Wait until the server is idle, so that its remaining work does not disturb the next server.

    It is idle if it takes less than a tenth of a core for a quarter of a second. The wait is at
    most `looks` times that. Returns the seconds of CPU time that it has taken.
    """
    every = 0.25  # seconds
    spent = usage(root).cpu
    for _ in range(looks):
        wait(every)
        before, spent = spent, usage(root).cpu
        if spent - before < every / 10:
            break
    return spent


def family(root: int) -> Iterator[int]:
    """This process and all its descendants. Reads only their files, not those of all processes."""
    waiting = [str(root)]
    while waiting:
        pid = waiting.pop()
        yield int(pid)
        try:
            tasks = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue  # it has ended
        for task in tasks:
            try:
                with open(f"/proc/{pid}/task/{task}/children") as children:
                    waiting += children.read().split()
            except OSError:
                continue


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(map(int, fields[11:15]))


def _pss(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup") as lines:
            return next((int(line.split()[1]) * 1024 for line in lines if line[:4] == "Pss:"), 0)
    except OSError:
        return 0


class Peak:
    """The peak memory of a server while this context was open; afterwards it is in `octets`.

    Measuring fifty processes costs fifty times as much as measuring one. So measurements take at
    most `share` of one core, and are at least `every` seconds apart. `cpu` is the CPU time that
    they took.
    """

    def __init__(self, root: int, every: float = 0.1, share: float = 0.01) -> None:
        self._root = root
        self._every = every
        self._share = share
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.octets = 0.0
        self.cpu = 0.0

    def pause(self, spent: float) -> float:
        """Seconds until the next measurement, after one that took `spent` seconds of CPU time."""
        return max(self._every, spent / self._share)

    def _look(self) -> float:
        """Measure once; the seconds of CPU time that it took."""
        before = time.thread_time()
        self.octets = max(self.octets, usage(self._root, memory=True).memory)
        spent = time.thread_time() - before
        self.cpu += spent
        return spent

    def _run(self) -> None:
        wait = self._every
        while not self._ended.wait(wait):
            wait = self.pause(self._look())

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._look()  # if the load ended before the first measurement
        self._ended.set()
        self._thread.join()

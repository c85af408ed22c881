"""What a server costs: CPU and memory of its processes, read from /proc."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
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
    for pid in family(root):
        total += _ticks(pid) / TICKS
        if memory:
            octets += _pss(pid)
    return Usage(total, octets)


def settle(root: int, wait: Callable[[float], None] = time.sleep, looks: int = 40) -> float:
    """Returns once the server rests: what it still had to do is its own, not the next one's.

    It rests where it takes less than a tenth of a core for a quarter of a second. It is not
    waited for longer than `looks` times that. The seconds of processor time that it has taken.
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
    """This process and all below it. Only its own files are read, not those of all processes."""
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
    """The most memory that a server had while this context was open; `octets` afterwards.

    A look at fifty processes costs fifty times as much as one at a single process, so the looks
    are spaced by what they cost: `share` of one core at most, and `every` so many seconds at
    least. `cpu` is the processor time that the looks took.
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
        """Seconds until the next look after one that took so many of processor time."""
        return max(self._every, spent / self._share)

    def _look(self) -> float:
        """Seconds of processor time that it took."""
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
        self._look()  # where the load was over before the first look
        self._ended.set()
        self._thread.join()

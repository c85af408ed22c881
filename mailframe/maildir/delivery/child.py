"""Delivers into Maildirs: `python -m mailframe.maildir.delivery.child deliver.NAME`.

Only `process.DeliveryProcess` starts it. Its argument tells an operator who reads `ps` which
section it serves. It reads rounds, delivers each round's messages together, and answers. It ends
when its input ends, so no process is left behind if the host dies.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import traceback
from pathlib import Path
from typing import BinaryIO

from ...wire.frames import Read
from .deliverer import Deliverer, Results, Task
from .frames import Trouble, answer_frame, read_round, read_rules

BUFFER = 1 << 18  # octets of one read


def work(source: BinaryIO, sink: BinaryIO) -> None:
    """Read rounds from the source and answer each, until there are no more."""
    read = _reading(source)
    try:
        deliverer = Deliverer(read_rules(read), tell=_tell)
        _write(sink, answer_frame([]))  # ready
        while True:
            tasks = read_round(read)
            _write(sink, answer_frame(delivered(deliverer, tasks)))
    except EOFError:
        return  # the host has closed it, or has died in the middle of a round


def delivered(deliverer: Deliverer, tasks: list[Task]) -> list[Results]:
    """Deliver the tasks; returns their results.

    A bug becomes the result of all of them, and the work goes on.
    """
    try:
        return deliverer.deliver(tasks)
    except Exception:  # noqa: BLE001
        bug = Trouble(traceback.format_exc(limit=-5))
        return [[bug] * len(task.addressees) for task in tasks]


def _reading(source: BinaryIO) -> Read:
    def read(size: int) -> bytes:
        octets = source.read(size)
        if len(octets) < size:
            raise EOFError
        return octets

    return read


def _write(sink: BinaryIO, octets: bytes) -> None:
    while octets:
        octets = octets[sink.write(octets) :]


def _tell(path: Path, problem: OSError) -> None:
    sys.stderr.write(f"{path}: tmp: {problem}\n")
    sys.stderr.flush()


def main() -> None:
    """Run the process from its start to its end."""
    # A signal from a terminal or a service manager to the whole group is meant for the host, which
    # lets this process finish and then closes its input.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(BrokenPipeError):  # the host is gone
        with open(0, "rb", BUFFER) as source, open(1, "wb", 0) as sink:
            work(source, sink)


if __name__ == "__main__":
    main()

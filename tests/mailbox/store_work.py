"""Work on a store in a process of its own: at random for some seconds, or until a kill.

A worker writes down what it was told, one fact in a line: the UID that it saw for a message, and
what it expunged.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

from mailbox_kit import Place

from mailframe.mailbox import Changes, Folder

#: The calls that change something, and those that bring it to disk.
CALLS = ("open", "write", "rename", "unlink", "fsync", "fdatasync", "ftruncate", "fchmod")


def in_child(work: Callable[[], None]) -> int:
    """Fork and do the work there; the child's number."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def ended(child: int) -> int:
    """The child's exit status, once it has ended."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die_at(number: int) -> None:
    """From now on this process ends at its `number`-th call of CALLS, as if it were killed.

    Of a write, half is done.
    """
    left = [number]

    def dying(name: str) -> Callable[..., object]:
        real = getattr(os, name)

        def call(*words: object, **more: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                if name == "write":
                    file, octets = words
                    real(file, octets[: len(octets) // 2])  # type: ignore[index, arg-type]
                os._exit(9)
            return real(*words, **more)

        return call

    for name in CALLS:
        setattr(os, name, dying(name))


class Worker:
    """Adds, flags and expunges messages at random, and notes all that it is told in `notes`."""

    def __init__(self, place: Place, notes: Path, seed: int) -> None:
        self._place, self._chance = place, random.Random(seed)
        self._notes = notes.open("w")
        self._next = 1

    def work(self, seconds: float) -> None:
        """Go on for so long, with a new folder object now and then."""
        end = time.monotonic() + seconds
        folder = self._place.open(timeout=30.0)
        self._tell(folder, Changes(added=tuple(folder.uids)))
        while time.monotonic() < end:
            step = self._chance.choice(
                (self._add, self._add, self._expunge, self._flag, self._vary)
            )
            step(folder)
            if self._chance.random() < 0.05:
                folder = self._place.open(timeout=30.0)
                self._next = 1
                self._tell(folder, Changes(added=tuple(folder.uids)))
            self._tell(folder, folder.refresh())
        self._notes.close()

    def _tell(self, folder: Folder, changes: Changes) -> None:
        for uid in changes.added:
            if uid < self._next:
                self._notes.write(f"below {uid} of {self._next}\n")
            base = folder._bases[list(folder.uids).index(uid)]
            self._notes.write(f"uid {folder.validity} {uid} {base}\n")
        self._next = folder.next_uid
        self._notes.flush()

    def _some(self, folder: Folder) -> list[int]:
        return self._chance.sample(list(folder.uids), min(len(folder.uids), 3))

    def _add(self, folder: Folder) -> None:
        for _ in range(self._chance.randint(1, 4)):
            self._place.put()

    def _expunge(self, folder: Folder) -> None:
        for uid in folder.expunge(self._some(folder)):
            self._notes.write(f"expunged {uid}\n")

    def _flag(self, folder: Folder) -> None:
        words = self._chance.sample(["\\Seen", "\\Flagged", "\\Draft", "Junk", "Odd"], 2)
        how = self._chance.choice(("add", "remove", "replace"))
        folder.store_flags(self._some(folder), words, how)

    def _vary(self, folder: Folder) -> None:
        """As another program: rename a file, or take one away."""
        names = os.listdir(self._place.path / "cur")
        if not names:
            return
        name = self._chance.choice(names)
        with contextlib.suppress(FileNotFoundError):
            if self._chance.random() < 0.3:
                os.unlink(self._place.path / "cur" / name)
            else:
                base = name.partition(":")[0]
                os.rename(self._place.path / "cur" / name, self._place.path / "cur" / f"{base}:2,F")

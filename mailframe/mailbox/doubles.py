"""Files that share the part of the name that stays: each must become a message of its own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..maildir.filename import FileName, UniqueNames, unique_of
from .lock import DotLock


def part_doubles(
    maildir: Path, doubles: Mapping[str, Sequence[str]], names: UniqueNames, lock: DotLock
) -> None:
    """Give all files but the oldest of each message a new name, under the lock of the list.

    Two names of one and the same file become one. A file that has gone meanwhile is left out.
    OSError, LockLost.
    """
    for files in doubles.values():
        lock.confirm()
        there: list[tuple[int, str, tuple[int, int]]] = []
        for file in files:
            with contextlib.suppress(FileNotFoundError):
                stat = os.lstat(maildir / file)
                there.append((stat.st_mtime_ns, file, (stat.st_dev, stat.st_ino)))
        there.sort()
        seen = {there[0][2]} if there else set()
        for _, file, identity in there[1:]:
            with contextlib.suppress(FileNotFoundError):
                if identity in seen:
                    os.unlink(maildir / file)
                else:
                    os.rename(maildir / file, maildir / _renamed(file, names))
            seen.add(identity)


def _renamed(file: str, names: UniqueNames) -> str:
    inside, _, name = file.partition("/")
    _, comma, sizes = unique_of(name).partition(",S=")
    new = f"{names.new()}{comma}{sizes}"
    return f"{inside}/{FileName(new, FileName.parse(name).flags)}" if ":" in name else (
        f"{inside}/{new}"
    )  # fmt: skip

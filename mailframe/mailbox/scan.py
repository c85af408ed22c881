"""Finds the messages of a folder: one pass over new and cur, and whether it missed none.

While others rename files, a listing may lack files that are there and have others twice. Hence only
a *clean* scan may say that a message is gone: both folders were unchanged for 10 ms before it, and
are unchanged after it.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from ..maildir.filename import FileName, unique_of

QUIET = 0.010  # seconds; the kernel's clock for files goes in steps of up to 10 ms
TRIES = 5


@dataclass(frozen=True, slots=True)
class Scan:
    """The messages that were found: `files` has "cur/NAME" or "new/NAME" by the part that stays.

    `moved` are those that this scan has moved from new to cur. `doubles` has all files of messages
    that have several, and is empty unless the scan was clean. `times` are those of the two folders:
    if they are still the same after a clean scan, so are the messages.
    """

    files: dict[str, str]
    clean: bool
    moved: frozenset[str] = frozenset()
    doubles: dict[str, tuple[str, ...]] = field(default_factory=dict)
    times: tuple[int, ...] = ()


def scan(maildir: Path, move: bool = True, tries: int = TRIES) -> Scan:
    """Scan until it is clean, at most `tries` times; the last one has what any of them found.

    If `move`, messages in new are moved to cur first. A file whose name could not stand in a list
    of lines is no message. Blocks, for some 10 ms if the folder has just changed. OSError.
    """
    moved = frozenset(_move(maildir)) if move else frozenset[str]()
    files: dict[str, str] = {}
    for attempt in range(1, tries + 1):
        quiet = _wait_until_quiet(maildir)
        before = folder_times(maildir)
        found, doubles = _list(maildir)
        after = folder_times(maildir)
        clean = quiet and before == after
        if clean:
            return Scan(found, True, moved, doubles, after)
        files.update(found)
        if attempt == tries:
            break
    return Scan(files, False, moved)


def folder_times(maildir: Path) -> tuple[int, ...]:
    """When new and cur changed last, in nanoseconds since the epoch. OSError."""
    return tuple(os.stat(maildir / inside).st_mtime_ns for inside in ("new", "cur"))


def _wait_until_quiet(maildir: Path) -> bool:
    """Wait, for a moment at most, until the folders are old enough for a clean scan."""
    age = time.time() - max(folder_times(maildir)) / 1e9
    if age > QUIET:
        return True
    time.sleep(min(max(QUIET - age, 0) + 0.002, 2 * QUIET))
    return time.time() - max(folder_times(maildir)) / 1e9 > QUIET


def _list(maildir: Path) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    files: dict[str, str] = {}
    doubles: dict[str, tuple[str, ...]] = {}
    # In this order, because messages go from new to cur.
    for inside in ("new", "cur"):
        with os.scandir(maildir / inside) as entries:
            for entry in entries:
                name = entry.name
                base = unique_of(name)
                if not _is_message(name) or not entry.is_file(follow_symlinks=False):
                    continue
                place = f"{inside}/{name}"
                if base in files:
                    doubles[base] = (*doubles.get(base, (files[base],)), place)
                files[base] = place
    for base, places in doubles.items():
        doubles[base] = tuple(sorted(places))
        files[base] = doubles[base][0]
    return files, doubles


def _is_message(name: str) -> bool:
    return name[0] not in ".:" and "\n" not in name and "\r" not in name


def _move(maildir: Path) -> list[str]:
    """Move the messages in new to cur, as the first reader does; their parts that stay."""
    with os.scandir(maildir / "new") as entries:
        names = [each.name for each in entries if each.is_file(follow_symlinks=False)]
    moved = []
    for name in names:
        there = maildir / "cur" / str(FileName.parse(name))
        # A message of the same name is not to be overwritten.
        if not _is_message(name) or os.path.lexists(there):
            continue
        # Another reader was faster, or may write here and we may not: it is found where it is.
        with contextlib.suppress(OSError):
            os.rename(maildir / "new" / name, there)
            moved.append(unique_of(name))
    return moved

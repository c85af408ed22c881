"""Saves a damaged database: everything that can be read is copied into a new one.

The new one is complete and synced before the old one is moved to `corrupt/TIME/`, where it stays
for tools that can read more of it. After a crash in between, `finish` completes the work.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from mailframe.files.sync import sync_folder

from .schema import connect
from .statements import marks

# Each order of reading may end at a damaged page; together they miss little.
_WAYS = {
    "message": (
        "SELECT key FROM message NOT INDEXED ORDER BY key",
        "SELECT key FROM message NOT INDEXED ORDER BY key DESC",
        "SELECT key FROM message INDEXED BY due WHERE hold = 0",
        "SELECT key FROM message INDEXED BY held WHERE hold = 1",
        "SELECT key FROM message INDEXED BY sqlite_autoindex_message_1 ORDER BY id",
    ),
    "corrupt": (
        "SELECT key FROM corrupt ORDER BY key",
        "SELECT key FROM corrupt ORDER BY key DESC",
    ),
}
_MESSAGE_COLUMNS = 16
_CORRUPT_COLUMNS = 9
_ONCE = 500  # rows in one transaction


class Salvage:
    """For one database. All methods block; OSError and sqlite3.Error if the disk fails."""

    def __init__(self, database: Path, corrupt: Path, now: Callable[[], float]) -> None:
        self._database = database
        self._new = database.with_name(database.name + ".new")
        self._corrupt = corrupt
        self._now = now

    def run(self, reason: str) -> str:
        """Save what can be read and set the old one aside; a sentence about the result."""
        self._discard_new()
        with closing(connect(self._new)) as new:
            saved, lost = self._copy(new)
            new.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        outcome = f"{reason}; {saved} messages were saved, {lost} could not be read in full"
        place = self._place()
        with (place / "reason").open("w", encoding="utf-8") as file:
            file.write(outcome + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._swap(place)
        return f"{outcome} ({place})"

    def finish(self) -> None:
        """Complete a salvage that a crash interrupted, or drop one that was not ready."""
        if self._new.exists() and not self._database.exists():
            self._swap(self._place())
        self._discard_new()

    def _place(self) -> Path:
        number = int(self._now())
        while (place := self._corrupt / str(number)).exists():
            number += 1
        place.mkdir(mode=0o700)
        return place

    def _swap(self, place: Path) -> None:
        # The database first: a log left beside the new one would be taken for the new one's.
        for path in self._parts(self._database):
            if path.exists():
                path.rename(place / path.name)
        sync_folder(place)
        sync_folder(self._corrupt)
        self._new.rename(self._database)
        sync_folder(self._database.parent)

    def _discard_new(self) -> None:
        for path in self._parts(self._new):
            path.unlink(missing_ok=True)

    def _parts(self, database: Path) -> list[Path]:
        return [database.with_name(database.name + end) for end in ("", "-wal", "-shm")]

    def _copy(self, new: sqlite3.Connection) -> tuple[int, int]:
        """Copy every readable row; the numbers of messages that were whole and that were not."""
        try:
            # Read-only, so that closing it changes nothing in the file that is kept.
            old = sqlite3.connect(f"file:{self._quoted}?mode=ro", uri=True, isolation_level=None)
        except sqlite3.Error:
            return 0, 0
        with closing(old):
            old.text_factory = lambda octets: octets.decode("utf-8", "replace")
            saved = lost = 0
            for place, key in enumerate(_keys(old, "corrupt")):
                _spaced(new, place)
                row = _row(old, "SELECT * FROM corrupt WHERE key = ?", key)
                if row is not None:
                    _insert(new, "corrupt", _CORRUPT_COLUMNS, row)
            _spaced(new, 0)
            for place, key in enumerate(_keys(old, "message")):
                _spaced(new, place)
                if self._copy_message(old, new, key):
                    saved += 1
                else:
                    lost += 1
            if new.in_transaction:
                new.execute("COMMIT")
        return saved, lost

    def _copy_message(self, old: sqlite3.Connection, new: sqlite3.Connection, key: int) -> bool:
        row = _row(old, "SELECT * FROM message WHERE key = ?", key)
        if row is None:
            return False
        body = _row(old, "SELECT * FROM body WHERE key = ?", key)
        try:
            if body is not None:
                _insert(new, "message", _MESSAGE_COLUMNS, row)
                _insert(new, "body", 3, body)
                return True
        except sqlite3.IntegrityError:
            pass  # damage has given two rows the same id; the second one is set aside
        _, id, created = row[:3]
        envelope, pending = row[11], row[13]
        aside = (None, id, self._now(), "its body was on a damaged page", created,
                 envelope, pending, *((body or (key, None, None))[1:]))  # fmt: skip
        _insert(new, "corrupt", _CORRUPT_COLUMNS, aside)
        return False

    @property
    def _quoted(self) -> str:
        return str(self._database.absolute()).replace("%", "%25").replace("?", "%3f")


def _spaced(new: sqlite3.Connection, place: int) -> None:
    """Begin a new transaction after every so many rows."""
    if place % _ONCE == 0:
        if new.in_transaction:
            new.execute("COMMIT")
        new.execute("BEGIN")


def _keys(old: sqlite3.Connection, table: str) -> Iterator[int]:
    found: set[int] = set()
    for way in _WAYS[table]:
        try:
            with closing(old.execute(way)) as rows:
                for (key,) in rows:
                    if isinstance(key, int):
                        found.add(key)
        except sqlite3.Error:
            continue
    return iter(sorted(found))


def _row(old: sqlite3.Connection, statement: str, key: int) -> tuple[object, ...] | None:
    try:
        row: tuple[object, ...] | None = old.execute(statement, (key,)).fetchone()
    except sqlite3.Error:
        return None
    return row


def _insert(new: sqlite3.Connection, table: str, columns: int, row: tuple[object, ...]) -> None:
    new.execute(f"INSERT INTO {table} VALUES ({marks(columns)})", row)

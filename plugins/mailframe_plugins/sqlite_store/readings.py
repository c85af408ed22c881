"""Connections that only read, so that a long listing keeps no commit waiting."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from typing import TypeVar

from .schema import connect
from .shelf import Shelf

T = TypeVar("T")


class Reading:
    """One connection, for whatever thread wants it next; opened when first wanted."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._generation = 0

    def run(self, what: Callable[[sqlite3.Connection], T]) -> T:
        """Blocks until it is our turn and it is done. Raises sqlite3.Error."""
        with self._lock:
            if self._generation != self._shelf.generation:
                self._close()
            if self._connection is None:
                self._generation = self._shelf.generation
                self._connection = connect(self._shelf.database, reading=True)
            return what(self._connection)

    def close(self) -> None:
        """Let go of it, once nobody reads."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def find(
    connection: sqlite3.Connection, after: str, limit: int, address: bytes, hold: bool | None
) -> list[int]:
    """The keys of a page of messages, in the order of their ids; see IQueueStore.find."""
    wanted = ["id > ?"]
    values: list[object] = [after]
    if hold is not None:
        wanted.append("hold = ?")
        values.append(hold)
    if address.startswith(b"@"):
        wanted.append("(instr(addresses, ?) OR instr(sender, ?))")
        values += [address + b"\n"] * 2
    elif address:
        wanted.append("(instr(addresses, ?) OR instr(sender, ?))")
        values += [b"\n" + address + b"\n"] * 2
    rows = connection.execute(
        f"SELECT key FROM message WHERE {' AND '.join(wanted)} ORDER BY id LIMIT ?",
        (*values, limit),
    )
    return [key for (key,) in rows]


def counts(connection: sqlite3.Connection) -> dict[str, int]:
    """How many; from the indexes alone, for a million messages a tenth of a second."""
    free, free_waiting = connection.execute(
        "SELECT count(*), total(waiting) FROM message INDEXED BY due WHERE hold = 0"
    ).fetchone()
    held, held_waiting = connection.execute(
        "SELECT count(*), total(waiting) FROM message INDEXED BY held WHERE hold = 1"
    ).fetchone()
    (corrupt,) = connection.execute("SELECT count(*) FROM corrupt").fetchone()
    return {
        "messages": free + held,
        "recipients": int(free_waiting + held_waiting),
        "held": held,
        "corrupt": corrupt,
    }

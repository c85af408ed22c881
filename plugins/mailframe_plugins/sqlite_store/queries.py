"""What is only read, on connections of its own, so that a long listing keeps no commit waiting."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from .folder import StoreFolder
from .schema import connect

T = TypeVar("T")


class ReadConnection:
    """One connection, for whatever thread wants it next; opened when first wanted."""

    def __init__(self, folder: StoreFolder) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._generation = 0

    def run(self, what: Callable[[sqlite3.Connection], T]) -> T:
        """Blocks until it is our turn and it is done. Raises sqlite3.Error."""
        with self._lock:
            if self._generation != self._folder.generation:
                self._close()
            if self._connection is None:
                self._generation = self._folder.generation
                self._connection = connect(self._folder.database, reading=True)
            return what(self._connection)

    def close(self) -> None:
        """Let go of it, once nobody reads."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class Sought(NamedTuple):
    """What `find` is to find; see IQueueStore.find. `address` is what spool.search makes of it."""

    after: str
    limit: int
    address: bytes
    hold: bool | None
    due_after: float | None


def find(connection: sqlite3.Connection, sought: Sought) -> list[int]:
    """The keys of a page of messages, in the order of their ids."""
    wanted = ["id > ?"]
    values: list[object] = [sought.after]
    index = ""
    if sought.hold is not None:
        wanted.append(f"hold = {sought.hold:d}")
    if sought.due_after is not None:
        wanted.append("due > ?")
        values.append(sought.due_after)
        # Few are due so late: they are at the end of this index, and sorted then.
        index = " INDEXED BY due" if sought.hold is False else ""
    if sought.address:
        wanted.append("(instr(addresses, ?) OR instr(sender, ?))")
        values += [sought.address] * 2
    rows = connection.execute(
        f"SELECT key FROM message{index} WHERE {' AND '.join(wanted)} ORDER BY id LIMIT ?",
        (*values, sought.limit),
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

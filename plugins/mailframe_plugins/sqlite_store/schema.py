"""The tables, and the settings of a connection to them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from twisted.logger import Logger

VERSION = 1
PAGE = 4096  # octets
SMALL = 16 << 20  # octets in use; a database of more is not written anew at the start
LOG = 8 << 20  # octets that the write-ahead log may hold before it is copied into the database

_log = Logger()

_TABLES = """
CREATE TABLE message (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    created REAL NOT NULL,
    due REAL NOT NULL,             -- the earliest of its recipients
    hold INTEGER NOT NULL,
    domain TEXT NOT NULL,          -- of all recipients that wait, '' where they have several
    waiting INTEGER NOT NULL,      -- how many recipients
    sender BLOB NOT NULL,          -- lower case, as find() compares it
    addresses BLOB NOT NULL,       -- of the recipients, each between line feeds
    size INTEGER NOT NULL,         -- octets of the body without the prefix
    file INTEGER NOT NULL,         -- 1: the body is the file bodies/ID
    envelope BLOB NOT NULL,
    envelope_sum INTEGER NOT NULL, -- CRC-32s: SQLite does not notice a flipped bit
    pending BLOB NOT NULL,
    pending_sum INTEGER NOT NULL,
    body_sum INTEGER NOT NULL      -- of the body and then the prefix
);
CREATE TABLE body (key INTEGER PRIMARY KEY, prefix BLOB NOT NULL, octets BLOB);
CREATE TABLE corrupt (
    key INTEGER PRIMARY KEY, id TEXT, found REAL, reason TEXT, created REAL,
    envelope BLOB, pending BLOB, prefix BLOB, octets BLOB
);
-- Claims and counts read these alone, never the messages that they pass over.
CREATE INDEX due ON message (due, key, domain, waiting) WHERE hold = 0;
CREATE INDEX held ON message (id, waiting) WHERE hold = 1;
"""


def connect(database: Path, *, reading: bool = False, log: int = LOG) -> sqlite3.Connection:
    """A connection that one thread at a time may use; the caller makes the transactions.

    With `reading` it cannot write, and sees what others commit. `log` is in octets of the
    write-ahead log. Raises sqlite3.Error.
    """
    connection = sqlite3.connect(
        database, isolation_level=None, check_same_thread=False, timeout=10.0, cached_statements=256
    )
    # A damaged octet must not keep the rest of a row from being read.
    connection.text_factory = lambda octets: octets.decode("utf-8", "replace")
    try:
        if reading:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("PRAGMA cache_size = -2000")
        else:
            _prepare(connection, log)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, log: int) -> None:
    connection.execute(f"PRAGMA page_size = {PAGE}")
    # Before the first page is written: afterwards it takes a VACUUM.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise sqlite3.OperationalError(f"the file system allows no write-ahead log, only {mode}")
    # FULL: the log is synced at every commit; otherwise a power cut could take back a 250.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {log // PAGE}")
    # After a burst, the log's file is cut to this size, because a small disk needs the space.
    connection.execute(f"PRAGMA journal_size_limit = {8 * log if log == LOG else log}")
    connection.execute("PRAGMA cache_size = -8000")
    # Debian's SQLite overwrites deleted data, which doubles the work of every removal.
    connection.execute("PRAGMA secure_delete = OFF")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        connection.executescript(f"BEGIN;{_TABLES}PRAGMA user_version = {VERSION};COMMIT;")
    elif version != VERSION:
        raise sqlite3.OperationalError(
            f"the database has version {version}, this mailframe knows version {VERSION}"
        )
    elif not _can_shrink(connection):
        _make_shrinkable(connection)


def free_pages(connection: sqlite3.Connection) -> tuple[int, int]:
    """How many pages of the database hold nothing, and how many it has."""
    free, count = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("freelist_count", "page_count")
    )
    return free, count


def _can_shrink(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("PRAGMA auto_vacuum").fetchone()[0])


def _make_shrinkable(connection: sqlite3.Connection) -> None:
    """Write a database of an earlier mailframe anew, unless that takes long or space is short."""
    free, count = free_pages(connection)
    if (count - free) * PAGE > SMALL:
        return
    try:
        connection.execute("VACUUM")
    except sqlite3.OperationalError as wrong:
        _log.warn("the queue's database cannot be made smaller now: {why}", why=str(wrong))

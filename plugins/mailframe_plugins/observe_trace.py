"""[[observe]] plugin = "trace", max_age = "7d", max_size = "100M"

Remembers each message's decisions in STATE/trace.sqlite, for `mailframe trace`. The oldest are
forgotten by age and by size. It is no part of the queue: events that are not written yet when the
machine fails are lost, and a damaged file is set aside.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.logger import Logger
from zope.interface import implementer

from mailframe.files.write_behind import WriteBehind
from mailframe.interfaces import ITrace
from mailframe.message import Event
from mailframe.message.vocabulary import Stage, StageName, Verdict
from mailframe.plugin import Duration, Plugin, SettingError, Site, Size, setting
from mailframe.smtp.address import AddressError, Mailbox

FORGET_EVERY = 30.0  # seconds between two looks at age and size
OPENING = 10.0  # seconds to wait for other processes that open the file
DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
MAX_N = (1 << 63) - 1
MAX_MESSAGES = 50  # of one address in one answer

_SCHEMA = """
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS event(n INTEGER PRIMARY KEY, time REAL, stage TEXT, verdict TEXT,
  plugin TEXT, id TEXT, session TEXT, milliseconds REAL, facts TEXT);
CREATE INDEX IF NOT EXISTS event_id ON event(id) WHERE id <> '';
DROP INDEX IF EXISTS event_session;
CREATE INDEX IF NOT EXISTS event_of_session ON event(session) WHERE session <> '';
CREATE TABLE IF NOT EXISTS address(address TEXT, id TEXT, n INTEGER,
  PRIMARY KEY(address, id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS address_n ON address(n);
"""
_COLUMNS = "time, stage, verdict, plugin, id, session, milliseconds, facts"


@dataclass(frozen=True)
class Settings:
    """The settings."""

    file: Path | None = setting("the database; by default STATE/trace.sqlite", None)
    stages: tuple[StageName, ...] = setting("only these stages; by default all", ())
    max_age: Duration = setting("seconds until an event is forgotten", Duration(7 * 86400.0))
    max_size: Size = setting("octets of the database; the oldest events go", Size(100 << 20))
    every: Duration = setting("seconds that events may wait to be written together", Duration(0.5))
    waiting: int = setting("events that may wait; more are dropped and counted", 20_000)


@implementer(ITrace)
class Trace(WriteBehind[Event]):
    """Keeps events in SQLite, and finds them again."""

    _log = Logger()

    def __init__(self, settings: Settings, site: Site) -> None:
        super().__init__(site, self._store, self._let_go, settings.every, settings.waiting)
        self.wants = frozenset[str](settings.stages) or None
        for key in ("max_age", "max_size"):
            if getattr(settings, key) <= 0:
                raise SettingError(key, "more than 0 is wanted")
        own = settings.file is None
        self._path = site.state / "trace.sqlite" if own else site.folder / str(settings.file)
        if not own:
            site.will_write("file", self._path)
        self._settings = settings
        self._now = site.now
        self._in_thread = site.in_thread
        self._database: sqlite3.Connection | None = None
        self._inode = 0
        self._forgot = float("-inf")

    def observe(self, event: Event) -> None:
        """Keep the event, to be written soon."""
        self.add(event)

    async def events(self, of: str, limit: int = 1000) -> Sequence[Event]:
        """The events of a message, a session or a mailbox. See ITrace.

        Reads the file, so it also answers if no host runs; without a file there are no events.
        """
        await self.flush()
        found: list[Event] = await self._in_thread(self._find, of, limit)
        return found

    def _store(self, events: list[Event], dropped: int) -> None:
        """Called in a thread."""
        if dropped:
            missed = {"dropped": dropped}
            events = [
                Event(self._now(), Stage.OBSERVE, Verdict.DROPPED, "trace", facts=missed),
                *events,
            ]
        try:
            self._insert(events)
        except sqlite3.DatabaseError as failed:
            if not _is_damage(failed):
                self._let_go()
                raise
            self._set_aside(failed)
            self._insert(events)

    def _insert(self, events: Iterable[Event]) -> None:
        database = self._opened()
        with database:
            for event in events:
                n = database.execute(
                    f"INSERT INTO event({_COLUMNS}) VALUES(?,?,?,?,?,?,?,?)", _row(event)
                ).lastrowid
                # A command that was refused before there was a message belongs to its session.
                about = _text(event.id or event.session)
                if about:
                    database.executemany(
                        "INSERT OR REPLACE INTO address VALUES(?,?,?)",
                        [(address, about, n) for address in _addresses(event)],
                    )
        if not 0 <= self._now() - self._forgot < FORGET_EVERY:
            self._forgot = self._now()
            self._forget(database)

    def _opened(self) -> sqlite3.Connection:
        if self._database is not None and self._inode != _inode(self._path):
            self._let_go()  # another process found it damaged and set it aside
        if self._database is None:
            with contextlib.suppress(FileExistsError):  # SQLite would use the umask
                flags = os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                os.close(os.open(self._path, flags, 0o600))
            self._inode = _inode(self._path)
            # Used by one thread at a time, but not always by the same one.
            database = sqlite3.connect(self._path, timeout=10.0, check_same_thread=False)
            try:
                _prepare(database)
            except BaseException:
                database.close()
                raise
            self._database = database
        return self._database

    def _forget(self, database: sqlite3.Connection) -> None:
        """Remove events that are too old, and while the file is too large, a tenth of the rest."""
        with database:
            database.execute(
                "DELETE FROM event WHERE n < coalesce("
                "(SELECT n FROM event WHERE time >= ? ORDER BY n LIMIT 1), ?)",
                (self._now() - self._settings.max_age, MAX_N),
            )
        while _size(database) > self._settings.max_size:
            with database:
                first, last = database.execute("SELECT min(n), max(n) FROM event").fetchone()
                if first is None:
                    break
                until = first + (last - first) // 10
                database.execute("DELETE FROM event WHERE n <= ?", (until,))
                self._forget_addresses(database)
        with database:
            self._forget_addresses(database)
        database.executescript("PRAGMA incremental_vacuum")  # execute() would free one page only

    @staticmethod
    def _forget_addresses(database: sqlite3.Connection) -> None:
        database.execute(
            "DELETE FROM address WHERE n < (SELECT coalesce(min(n), ?) FROM event)", (MAX_N,)
        )

    def _set_aside(self, failed: sqlite3.DatabaseError) -> None:
        """Move a damaged database to where it can be looked at; only the last one is kept."""
        mine, there = self._inode, _inode(self._path)
        self._let_go()
        if mine and mine != there:
            return  # another process did it first
        aside = self._path.with_name(self._path.name + ".damaged")
        self._log.error(
            "{file}: {problem}; set aside as {aside}",
            file=str(self._path),
            problem=str(failed),
            aside=str(aside),
        )
        os.replace(self._path, aside)
        for more in ("-wal", "-shm"):
            Path(f"{self._path}{more}").unlink(missing_ok=True)

    def _let_go(self) -> None:
        database, self._database, self._inode = self._database, None, 0
        if database is not None:
            database.close()

    def _find(self, of: str, limit: int) -> list[Event]:
        """Called in a thread; uses its own connection, which changes nothing."""
        if not self._path.exists():
            return []
        try:
            with contextlib.closing(_reader(self._path)) as database:
                return list(_found(database, of, limit))
        except sqlite3.DatabaseError as failed:
            if not _is_damage(failed):
                raise
            self._log.error("{file}: {problem}", file=str(self._path), problem=str(failed))
            return []


def _inode(path: Path) -> int:
    """The number that tells a file from another of the same name; 0 if there is none."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def _prepare(database: sqlite3.Connection) -> None:
    """Make the tables; workers that start together may all do this at once."""
    end = time.monotonic() + OPENING
    while True:
        try:
            database.executescript(_SCHEMA)
            return
        except sqlite3.OperationalError as failed:
            # For the change to WAL, SQLite does not wait for others, whatever the timeout is.
            if failed.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.02)


def _reader(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10.0)


def _found(database: sqlite3.Connection, of: str, limit: int) -> Iterator[Event]:
    """The events, message by message, the oldest message first."""
    ids, query = [of], _OF_ID
    if "@" in of:
        rows = database.execute(
            "SELECT id FROM address WHERE address = ? ORDER BY n DESC LIMIT ?",
            (_spelling(of), MAX_MESSAGES),
        )
        ids, query = [id for (id,) in rows], _OF_MESSAGE
    chosen: list[list[tuple[Any, ...]]] = []
    seen: set[int] = set()  # two messages of a session share what comes before them
    for id in ids:
        rows = database.execute(query, (_text(id), limit - len(seen)))
        found = [row for row in rows if row[0] not in seen]
        seen.update(row[0] for row in found)
        chosen.append(found)
        if len(seen) >= limit:
            break
    for found in reversed(chosen):
        yield from (_event(row[1:]) for row in reversed(found))


# The decisions about a message, after those about its session before the message ended; or those
# about a session that belong to no message.
_OF_MESSAGE = f"""
SELECT n, {_COLUMNS} FROM event WHERE n IN (SELECT n FROM event WHERE id = ?1 AND id <> ''
 UNION SELECT n FROM event WHERE id = '' AND session <> '' AND session IN
  (SELECT session FROM event WHERE id = ?1 AND id <> '')
  AND n <= (SELECT max(n) FROM event WHERE id = ?1 AND id <> '')
 UNION SELECT n FROM event WHERE id = '' AND session = ?1 AND session <> '')
 ORDER BY n DESC LIMIT ?2"""
# The same; of a session all, and what became of its messages afterwards.
_OF_ID = f"""
SELECT n, {_COLUMNS} FROM event WHERE n IN (SELECT n FROM event WHERE id = ?1 AND id <> ''
 UNION SELECT n FROM event WHERE id = '' AND session <> '' AND session IN
  (SELECT session FROM event WHERE id = ?1 AND id <> '')
  AND n <= (SELECT max(n) FROM event WHERE id = ?1 AND id <> '')
 UNION SELECT n FROM event WHERE session = ?1 AND session <> ''
 UNION SELECT n FROM event WHERE id <> '' AND id IN
  (SELECT id FROM event WHERE session = ?1 AND session <> '' AND id <> ''))
 ORDER BY n DESC LIMIT ?2"""


def _event(row: tuple[Any, ...]) -> Event:
    time, stage, verdict, plugin, id, session, milliseconds, facts = row
    return Event(time, stage, verdict, plugin, id, session, milliseconds, json.loads(facts))


def _row(event: Event) -> tuple[object, ...]:
    texts = (event.stage, event.verdict, event.plugin, event.id, event.session)
    return (event.time, *map(_text, texts), event.milliseconds, _facts(event))


def _text(text: str) -> str:
    """The text as SQLite accepts it: without lone surrogates."""
    return text.encode("utf-8", "replace").decode()


def _facts(event: Event) -> str:
    try:
        return json.dumps({str(key): fact for key, fact in event.facts.items()}, default=str)
    except (TypeError, ValueError, RecursionError):
        return json.dumps({str(key): repr(fact)[:1000] for key, fact in event.facts.items()})


def _addresses(event: Event) -> set[str]:
    """The mailboxes that this event is about."""
    said = [event.facts.get("sender"), event.facts.get("recipient")]
    for several in map(event.facts.get, ("to", "recipients")):
        said += several if isinstance(several, list | tuple) else [several]
    return {_spelling(text) for text in said if isinstance(text, str) and "@" in text}


def _spelling(address: str) -> str:
    """A mailbox in one spelling, as people write it."""
    try:
        address = str(Mailbox.parse(address.strip("<>")))
    except AddressError:
        pass
    return _text(address.lower())


def _size(database: sqlite3.Connection) -> int:
    """Octets in use."""
    pages, free, each = (
        database.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    used: int = (pages - free) * each
    return used


def _is_damage(failed: sqlite3.DatabaseError) -> bool:
    return (getattr(failed, "sqlite_errorcode", 0) & 0xFF) in DAMAGED


plugin = Plugin("trace", ITrace, Settings, Trace)

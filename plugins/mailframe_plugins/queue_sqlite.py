"""[queue] plugin = "sqlite"

Keeps accepted messages in an SQLite database (WAL, synchronous=FULL) in the state folder. One
thread writes, and commits everything that waits with one sync. Bodies of up to `inline` octets are
in the database; larger ones are separate files, synced before the row that names them. Damaged
messages are set aside in `corrupt` and never deleted.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from zlib import crc32

from twisted.application import service
from twisted.internet.defer import Deferred, DeferredList, fail
from twisted.logger import Logger
from zope.interface import implementer

from mailframe.interfaces import IQueueStore, IShardedStore
from mailframe.message import Content, Entry, Envelope, Message, Pending
from mailframe.message.codec import Damaged, encode_envelope
from mailframe.plugin import Plugin, SettingError, Site, Size, setting
from mailframe.spool.bodies import StoredBody
from mailframe.spool.draft import Budget, Draft, DraftBody, Spill
from mailframe.spool.search import searchable, sought
from mailframe.spool.shards import ShardFolders
from mailframe_plugins.sqlite_store.errors import is_damage, translated
from mailframe_plugins.sqlite_store.folder import StoreFolder
from mailframe_plugins.sqlite_store.ledger import Ledger
from mailframe_plugins.sqlite_store.queries import ReadConnection, Sought, counts, find
from mailframe_plugins.sqlite_store.rows import AT_HAND, Broken, entries_of, read_rows
from mailframe_plugins.sqlite_store.statements import NewMessage
from mailframe_plugins.sqlite_store.writer import Writer

T = TypeVar("T")

DRAFTS_IN_MEMORY = 64 << 20  # octets of all drafts together
_SPACE_KNOWN_FOR = 1.0  # seconds
_PLENTY = 4 << 30  # octets; more than can be used up in that time
_AT_ONCE = 500  # messages changed in one transaction
_VERBS = ("hold", "release", "retry", "delete")


@dataclass(frozen=True)
class Settings:
    """The settings."""

    path: Path | None = setting(
        "the folder of the queue; by default `queue` in the state folder", None
    )
    inline: Size = setting(
        "messages of up to this size are kept in the database; larger ones are files",
        Size(256 << 10),
    )
    minimum_free: Size = setting(
        "free space to keep on the disk; with less than that, new messages are refused (452 "
        "4.3.1). It is at least 16M, or an eighth of a small disk",
        Size(0),
    )


@implementer(IShardedStore)
class SqliteQueue(service.Service):
    """See IQueueStore. Opened by `startService`, or when it is first asked."""

    _log = Logger()

    def __init__(self, settings: Settings, site: Site) -> None:
        if settings.inline > 16 << 20:
            raise SettingError("inline", "a body of more than 16M is better kept in a file")
        if settings.path is not None:
            site.will_write("path", settings.path)
        self._parts = ShardFolders(settings.path or site.state / "queue", "queue.db")
        self.name = site.name or "queue"
        self._in_thread = site.in_thread
        self._minimum_free = int(settings.minimum_free)
        self._reactor = site.reactor
        self._folder = StoreFolder(self._parts.folder(site.worker), site.now)
        self.bodies = self._folder.bodies
        self.budget = Budget(DRAFTS_IN_MEMORY)
        self.spill = Spill(self.bodies, int(settings.inline), site.in_thread, self.under_way)
        self._listing = ReadConnection(self._folder)
        self._opening = ReadConnection(self._folder)
        self._opened: Writer | None = None
        self._reserve = 0  # octets to be kept free; known once it is open
        self._closed: Deferred[None] | None = None
        self._under_way: set[Deferred[Any]] = set()
        self._space: tuple[float, int] = (
            float("-inf"),
            0,
        )  # when it was looked up; octets

    def shards(self) -> Sequence[int]:
        """See IShardedStore."""
        return self._parts.workers()

    def startService(self) -> None:
        """Open the database. OSError if that fails, or if another process has it."""
        self._writer()
        super().startService()  # type: ignore[no-untyped-call]

    def _writer(self) -> Writer:
        if self._opened is not None:
            return self._opened
        if self._closed is not None:
            raise OSError(errno.ESHUTDOWN, "the queue is closed")
        ledger = self._folder.open()
        self._reserve = max(self._folder.reserve, self._minimum_free)
        writer = Writer(self._folder, ledger, self._reactor)
        # A file that exists before the first draft belongs to a row, or a crash has left it.
        found = self.bodies.found()
        for start in range(0, len(found), _AT_ONCE):
            writer.tell(partial(self._sweep, found[start : start + _AT_ONCE]))
        writer.start()
        self._opened = writer
        return writer

    def _sweep(self, ids: list[str], ledger: Ledger) -> None:
        # After a database was damaged, a file without a row may be all that is left of a message.
        keep = bool(self._folder.set_aside())
        for id in set(ids) - ledger.known(ids):
            if keep:
                self.bodies.set_aside(id)
            else:
                self.bodies.remove(id)
            self._log.info("{id}: a body without a message is put away", id=id)

    def begin(self, envelope: Envelope) -> Draft:
        """See IQueueStore."""
        self._writer()
        wanted = self._reserve + (envelope.size or 0)
        asked, free = self._space
        moment = self._reactor.seconds()
        if not 0 <= moment - asked < _SPACE_KNOWN_FOR:
            free = self._folder.free
            self._space = moment, free
        if free < wanted:
            raise OSError(
                errno.ENOSPC, f"{free} octets are left for the queue, {wanted} are wanted"
            )
        return Draft(self, envelope)

    def keep(
        self, envelope: Envelope, headers: bytes, body: DraftBody, lease: float | None
    ) -> Deferred[Entry]:
        """A draft's commit."""
        writer = self._writer()
        if not self.has_room(0 if body.octets is None else body.size):
            return fail(OSError(errno.ENOSPC, "no space is left for new messages"))
        created = envelope.received
        pending = tuple([Pending(recipient, created) for recipient in envelope.recipients])
        sender = b"" if envelope.sender is None else searchable((envelope.sender,))
        check = crc32(headers, body.check)
        new = NewMessage(envelope.id, created, pending, sender, body.size,
                         encode_envelope(envelope), check, headers, body.octets,
                         bool(envelope.held))  # fmt: skip
        octets: bytes | Callable[[], BinaryIO] | None = body.octets
        if octets is None or body.size > AT_HAND:
            octets = self._opener(
                StoredBody(envelope.id, body.size, octets is None, check, headers)
            )
        message = Message(envelope.id, envelope, Content(headers, octets, body.size))
        entry = Entry(message, pending, created, new.hold, lease is not None)
        return writer.insert(new, lease, entry)

    def has_room(self, octets: int) -> bool:
        """True if so many octets may be stored. Half of the reserve is kept for departures."""
        # Once in the log, and once in the database to which the log is copied.
        wanted = 2 * (self._writer().inserting + octets) + self._reserve // 2
        # If there was plenty of space when the message began, it is not looked up again.
        return self._space[1] - wanted >= _PLENTY or self._folder.free >= wanted

    def watch(self, call: Callable[[], None]) -> None:
        """See IQueueStore. One process has the folder, so nothing else changes it."""

    def under_way(self, work: Deferred[T]) -> Deferred[T]:
        """The same Deferred; close() waits for it."""
        self._under_way.add(work)

        def forget(result: Any) -> Any:
            self._under_way.discard(work)
            return result

        return work.addBoth(forget)

    def _opener(self, body: StoredBody) -> Callable[[], BinaryIO]:
        return partial(self._open_body, body)

    def _open_body(self, body: StoredBody) -> BinaryIO:
        """Called in a thread. OSError for a damaged body, which is then set aside."""
        try:
            if body.file:
                return self.bodies.open(body)
            return self._opening.run(partial(_stored_body, body))
        except (Damaged, sqlite3.Error) as wrong:
            if isinstance(wrong, sqlite3.Error) and not is_damage(wrong):
                raise translated(wrong, self._folder.free) from wrong
            writer, reason = self._opened, str(wrong)
            if writer is not None:
                writer.tell(lambda ledger: ledger.set_aside_id(body.id, reason))
            raise OSError(errno.EIO, f"message {body.id}: {reason}") from wrong

    def claim(
        self, now: float, limit: int, until: float, excluding: frozenset[str] = frozenset()
    ) -> Deferred[Sequence[Entry]]:
        """See IQueueStore."""
        return self._writer().call(
            lambda ledger: ledger.claim(now, limit, until, excluding, self._opener)
        )

    def renew(self, ids: Sequence[str], until: float) -> Deferred[frozenset[str]]:
        """See IQueueStore."""
        return self._writer().call(lambda ledger: ledger.renew(ids, until))

    def record(self, id: str, pending: Sequence[Pending], release: bool = True) -> Deferred[None]:
        """See IQueueStore."""
        if not pending:
            return self._writer().finish(id)
        return self._writer().call(lambda ledger: ledger.record(id, pending, release))

    def release(self, ids: Sequence[str]) -> Deferred[None]:
        """See IQueueStore."""
        return self._writer().call(lambda ledger: ledger.release(ids))

    def next_due(self) -> Deferred[float | None]:
        """See IQueueStore."""
        return self._writer().call(lambda ledger: ledger.next_due())

    async def find(
        self,
        after: str = "",
        limit: int = 100,
        address: str = "",
        hold: bool | None = None,
        due_after: float | None = None,
    ) -> Sequence[Entry]:
        """See IQueueStore."""
        wanted = sought(address)
        last, found = after, list[Entry]()
        while len(found) < limit:
            page = Sought(last, limit - len(found), wanted, hold, due_after)
            keys = await self._read(partial(find, sought=page))
            if not keys:
                break
            rows, entries = await self._entries(keys)
            found += entries
            # If damaged messages were set aside, the page is filled with those after them.
            last = max((row_id for row_id in rows), default=last)
            if len(entries) == len(keys):
                break
        return found

    async def get(self, id: str) -> Entry | None:
        """See IQueueStore."""
        keys = await self._read(partial(_key_of, id))
        _, entries = await self._entries(keys)
        return entries[0] if entries else None

    async def _entries(self, keys: list[int]) -> tuple[list[str], list[Entry]]:
        """The ids and the entries of these messages; damaged ones are set aside."""
        rows, broken = await self._read(partial(read_rows, keys=keys, bodies=False))
        ids = [row.id for row in rows] + [each.id for each in broken]
        leased = await self._writer().call(lambda ledger: {id for id in ids if id in ledger.leases})
        entries, more = entries_of(rows, leased, self._opener)
        broken = [*broken, *more]
        if broken:
            await self._writer().call(partial(_set_aside, broken))
        return ids, entries

    async def counts(self) -> dict[str, int]:
        """See IQueueStore."""
        found = await self._read(counts)
        found["leased"] = await self._writer().call(lambda ledger: len(ledger.leases))
        found["corrupt"] += len(await self._in_thread(self._folder.set_aside))
        return found

    async def change(self, ids: Sequence[str], verb: str, now: float) -> Sequence[str]:
        """See IQueueStore."""
        if verb not in _VERBS:
            raise ValueError(f"{verb!r} is none of {', '.join(_VERBS)}")
        changed: list[str] = []
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            changed += await self._writer().call(partial(_change, some, verb, now))
        return changed

    async def corrupt(self) -> Sequence[str]:
        """See IQueueStore."""
        lines = await self._read(partial(_corrupt, f"{self._folder.database}, table corrupt"))
        databases: list[str] = await self._in_thread(self._folder.set_aside)
        return lines + databases

    async def _read(self, what: Callable[[sqlite3.Connection], T]) -> T:
        writer = self._writer()
        try:
            result: T = await self._in_thread(self._listing.run, what)
        except sqlite3.Error as wrong:
            if is_damage(wrong):
                # There the damage is found again, and mended.
                return await writer.call(lambda ledger: ledger.read(what))
            raise translated(wrong, self._folder.free) from wrong
        return result

    def close(self) -> Deferred[None]:
        """See IQueueStore."""
        if self._closed is None:
            self._closed = Deferred.fromCoroutine(self._close())
        again: Deferred[None] = Deferred()

        def closed(result: T) -> T:
            again.callback(None)
            return result

        self._closed.addCallback(closed)
        return again

    async def _close(self) -> None:
        if self._opened is None:
            return
        if self._under_way:
            await DeferredList(list(self._under_way))
        writer, self._opened = self._opened, None
        await writer.stop()
        self._listing.close()
        self._opening.close()
        self._folder.close()


def _stored_body(body: StoredBody, connection: sqlite3.Connection) -> BinaryIO:
    row = connection.execute(
        "SELECT b.octets FROM message m JOIN body b ON b.key = m.key WHERE m.id = ?", (body.id,)
    ).fetchone()
    if row is None or row[0] is None:
        raise Damaged("its body is missing")
    body.verify(row[0])
    return BytesIO(row[0])


def _key_of(id: str, connection: sqlite3.Connection) -> list[int]:
    return [key for (key,) in connection.execute("SELECT key FROM message WHERE id = ?", (id,))]


def _corrupt(place: str, connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("SELECT id, reason FROM corrupt ORDER BY key").fetchall()
    return [f"{place}: {id}: {reason}" for id, reason in rows]


def _set_aside(broken: list[Broken], ledger: Ledger) -> None:
    for each in broken:
        ledger.set_aside(each)


def _change(ids: Sequence[str], verb: str, now: float, ledger: Ledger) -> list[str]:
    return ledger.change(ids, verb, now)


plugin = Plugin("sqlite", IQueueStore, Settings, SqliteQueue)

"""Every statement that changes the queue. Synchronous, for the one thread that writes.

Everything between `begin` and `commit` is done together or not at all, leases included.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar
from zlib import crc32

from twisted.logger import Logger

from mailframe.interfaces import LeaseLost
from mailframe.message import Entry, Pending
from mailframe.message.codec import Damaged, decode_pending
from mailframe.repeated import RepeatedLog
from mailframe.spool.bodies import Bodies
from mailframe.spool.search import due_at, waiting

from .claims import Claims
from .errors import damage
from .leases import Lease, Leases
from .rows import Broken, Opener, entries_of, read_rows
from .schema import free_pages
from .statements import NewMessage, at_a_time, insertion, marks

T = TypeVar("T")

_COLUMNS = (
    "id, created, due, hold, domain, waiting, sender, addresses, size, file, "
    "envelope, envelope_sum, pending, pending_sum, body_sum"
)
_SET_ASIDE = (
    "INSERT INTO corrupt (id, found, reason, created, envelope, pending, prefix, octets) "
    "SELECT m.id, ?, ?, m.created, m.envelope, m.pending, {body} WHERE m.key = ?"
)
_MOST_AT_ONCE = 64
KEPT = 1024  # pages that hold nothing, and stay in the database


class Ledger:
    """The tables, the leases, and the files that belong to them."""

    _log = Logger()

    def __init__(
        self, connection: sqlite3.Connection, bodies: Bodies, now: Callable[[], float]
    ) -> None:
        self._connection = connection
        self._bodies = bodies
        self._now = now
        self._repeated = RepeatedLog(self._log, now)
        self.leases = Leases()
        self.claims = Claims(self.leases)
        self._files: list[Callable[[], None]] = []  # changes to files, to be made after the commit
        highest = connection.execute(
            "SELECT max((SELECT coalesce(max(key), 0) FROM message),"
            " (SELECT coalesce(max(key), 0) FROM body))"
        ).fetchone()[0]
        #: Of the next new message; a key is never used again.
        self.next_key = int(highest) + 1

    def begin(self) -> None:
        """Begin a transaction."""
        self._connection.execute("BEGIN IMMEDIATE")
        self.leases.begin()
        self._files.clear()

    def commit(self) -> None:
        """Commit it; durable once this returns. If it raises sqlite3.Error, call `rollback`."""
        self._connection.execute("COMMIT")
        files, self._files = self._files, []
        for change in files:
            change()

    def rollback(self) -> None:
        """Go back to the state at `begin`."""
        self.leases.undo()
        self.claims.restart()
        self._files.clear()
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def give_back_log(self) -> None:
        """Shrink the write-ahead log if space is short. Raises nothing."""
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as wrong:
            self._repeated.warn(
                "the queue's log could not be shortened: {reason}", reason=str(wrong)
            )

    def shrink(self, pages: int) -> bool:
        """Give at most so many pages that hold nothing back to the disk; True if more are left.

        As many as are in use are kept, and KEPT, for what comes. Raises sqlite3.Error.
        """
        free, count = free_pages(self._connection)
        spare = free - max(KEPT, count - free)
        if spare <= 0:
            return False
        pages = min(pages, spare)
        # With execute() it would be one page, because it has a step for each, and no rows.
        self._connection.executescript(f"PRAGMA incremental_vacuum({pages})")
        # The file gets shorter when the log is copied into it; nobody is waited for.
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        return spare > pages and free_pages(self._connection)[0] < free

    def adopt(self, earlier: Ledger) -> None:
        """Take over the leases of the ledger that had this database before it was saved."""
        earlier.leases.undo()
        self.leases = earlier.leases
        self.claims = Claims(self.leases)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def insert(self, messages: Sequence[tuple[NewMessage, float | None]]) -> None:
        """Store these messages, each with the end of its lease or None."""
        rows: list[tuple[object, ...]] = []
        bodies: list[tuple[object, ...]] = []
        for new, until in messages:
            key = self.next_key
            self.next_key += 1
            row = waiting(new.pending)
            file = new.octets is None
            about = (key, new.id, new.created, row.due, new.hold, row.domain, row.recipients)
            found_by = (new.sender, row.addresses, new.size, file)
            sums = (crc32(new.envelope), row.octets, crc32(row.octets), new.body_sum)
            rows.append((*about, *found_by, new.envelope, *sums))
            bodies.append((key, new.prefix, new.octets))
            if until is not None:
                self.leases.put(new.id, Lease(until, key, row.due, file))
            else:
                self.claims.freed(row.due, key)
        self._insert("message", f"key, {_COLUMNS}", rows)
        self._insert("body", "key, prefix, octets", bodies)

    def _insert(self, table: str, columns: str, rows: list[tuple[object, ...]]) -> None:
        # One statement for many rows releases the interpreter's lock once, not once for each row.
        while rows:
            count = at_a_time(len(rows))
            values = [value for row in rows[:count] for value in row]
            self._connection.execute(insertion(table, columns, count), values)
            rows = rows[count:]

    def finish(self, ids: Iterable[str]) -> set[str]:
        """Remove these messages; returns those that exist and are not leased, which stay."""
        keys: list[int] = []
        lost: set[str] = set()
        for id in ids:
            lease = self.leases.drop(id)
            if lease is None:
                if self._find(id) is not None:
                    lost.add(id)
                continue
            keys.append(lease.key)
            if lease.file:
                self._remove_file(id)
        while keys:
            count = at_a_time(len(keys))
            some, keys = keys[:count], keys[count:]
            self._delete(some)
        return lost

    def _delete(self, keys: Sequence[int]) -> None:
        for table in ("message", "body"):
            self._connection.execute(f"DELETE FROM {table} WHERE key IN ({marks(len(keys))})", keys)

    def _remove_file(self, id: str) -> None:
        self._files.append(lambda: self._bodies.remove(id))

    def claim(
        self, now: float, limit: int, until: float, excluding: frozenset[str], opener: Opener
    ) -> list[Entry]:
        """Lease up to `limit` due messages until `until`; damaged ones are set aside."""

        def excluded(key: int) -> float | None:
            return self._excluded(key, now, excluding)

        entries: list[Entry] = []
        while len(entries) < limit:
            due: dict[int, float] = {}
            for when, key in self.claims.due(self._connection, now, excluding, excluded):
                due[key] = when
                if len(entries) + len(due) >= limit or len(due) >= _MOST_AT_ONCE:
                    break
            if not due:
                break
            rows, broken = read_rows(self._connection, list(due), bodies=True)
            # A set, so that every entry says that it is leased.
            found, more = entries_of(rows, {row.id for row in rows}, opener)
            for each in (*broken, *more):
                self.set_aside(each)
            by_id = {row.id: row for row in rows}
            for entry in found:
                row = by_id[entry.id]
                self.leases.put(entry.id, Lease(until, row.key, due[row.key], bool(row.file)))
            entries += found
            if not found and not broken and not more:
                # The index names a row that the table does not have.
                raise damage("the index of the due names what is not there")
        return entries

    def _excluded(self, key: int, now: float, excluding: frozenset[str]) -> float | None:
        row = self._connection.execute(
            "SELECT pending FROM message WHERE key = ?", (key,)
        ).fetchone()
        try:
            pending = decode_pending(row[0])
        except (Damaged, TypeError):
            return None  # it was claimed, and found damaged then
        later = float("inf")
        for each in pending:
            if each.due > now:
                later = min(later, each.due)
            elif each.recipient.address.domain not in excluding:
                return None
        return later

    def renew(self, ids: Iterable[str], until: float) -> frozenset[str]:
        """Move the end of these leases; returns the ids that had one."""
        ours = set()
        for id in ids:
            lease = self.leases.get(id)
            if lease is not None:
                self.leases.put(id, lease._replace(until=until))
                ours.add(id)
        return frozenset(ours)

    def release(self, ids: Iterable[str]) -> None:
        """Give leases back."""
        for id in ids:
            lease = self.leases.drop(id)
            if lease is not None:
                self.claims.freed(lease.due, lease.key)

    def record(self, id: str, pending: Sequence[Pending], release: bool) -> None:
        """Replace all waiting recipients by these; a message that does not exist is ignored.

        Raises LeaseLost.
        """
        lease = self.leases.get(id)
        if lease is None:
            if self._find(id) is not None:
                raise LeaseLost(id)
            return
        if lease.retry is not None:
            pending = due_at(pending, lease.retry)
        due = self._update(lease.key, pending)
        if release:
            self.leases.drop(id)
        else:
            self.leases.put(id, lease._replace(due=due))
        self.claims.freed(due, lease.key)

    def _update(self, key: int, pending: Sequence[Pending]) -> float:
        row = waiting(pending)
        self._connection.execute(
            "UPDATE message SET due = ?, domain = ?, waiting = ?, addresses = ?, pending = ?, "
            "pending_sum = ? WHERE key = ?",
            (
                row.due,
                row.domain,
                row.recipients,
                row.addresses,
                row.octets,
                crc32(row.octets),
                key,
            ),
        )
        return row.due

    def change(self, ids: Sequence[str], verb: str, now: float) -> list[str]:
        """ "hold", "release", "retry" or "delete"; returns the ids that were changed."""
        act = {
            "hold": lambda row: self._hold(row, True),
            "release": lambda row: self._hold(row, False),
            "retry": lambda row: self._retry(row, now),
            "delete": self._delete_free,
        }[verb]
        changed = []
        for id in dict.fromkeys(ids):
            row = self._find(id)
            if row is not None and act(row):
                changed.append(id)
        return changed

    def _hold(self, row: _Found, hold: bool) -> bool:
        if row.hold == hold:
            return False
        self._connection.execute("UPDATE message SET hold = ? WHERE key = ?", (hold, row.key))
        self.claims.freed(row.due, row.key)
        return True

    def _retry(self, row: _Found, now: float) -> bool:
        try:
            pending = decode_pending(row.pending)
        except Damaged as wrong:
            self.set_aside(Broken(row.key, row.id, str(wrong)))
            return False
        due = self._update(row.key, due_at(pending, now))
        lease = self.leases.get(row.id)
        if lease is not None:
            self.leases.put(row.id, lease._replace(due=due, retry=now))
        self.claims.freed(due, row.key)
        return True

    def _delete_free(self, row: _Found) -> bool:
        if row.id in self.leases:
            return False
        self.leases.drop(row.id)
        if row.file:
            self._remove_file(row.id)
        self._delete([row.key])
        return True

    def set_aside(self, broken: Broken) -> None:
        """Move a damaged message to where `corrupt` shows it; nothing of it is lost by that."""
        what = (self._now(), broken.reason, broken.key)
        whole = _SET_ASIDE.format(body="b.prefix, b.octets FROM message m LEFT JOIN body b "
                                       "ON b.key = m.key")  # fmt: skip
        alone = _SET_ASIDE.format(body="NULL, NULL FROM message m")
        self._connection.execute("SAVEPOINT aside")
        tables: tuple[str, ...] = ("message", "body")
        try:
            self._connection.execute(whole, what)
        except sqlite3.DatabaseError:
            self._connection.execute("ROLLBACK TO aside")
            self._connection.execute(alone, what)
            tables = ("message",)  # leave the body where it is, because it cannot be read
        self._connection.execute("RELEASE aside")
        for table in tables:
            self._connection.execute(f"DELETE FROM {table} WHERE key = ?", (broken.key,))
        self.leases.drop(broken.id)
        self._files.append(lambda: self._bodies.set_aside(broken.id))
        self._log.error("{id}: damaged, set aside: {reason}", id=broken.id, reason=broken.reason)

    def set_aside_id(self, id: str, reason: str) -> None:
        """The same for damage that was found while the body was read."""
        row = self._find(id)
        if row is not None:
            self.set_aside(Broken(row.key, id, reason))

    def read(self, what: Callable[[sqlite3.Connection], T]) -> T:
        """Repeat a read that found damage, here where damage is mended."""
        return what(self._connection)

    def known(self, ids: Sequence[str]) -> set[str]:
        """Those of these messages that exist."""
        rows = self._connection.execute(
            f"SELECT id FROM message WHERE id IN ({marks(len(ids))})", ids
        )
        return {id for (id,) in rows}

    def next_due(self) -> float | None:
        """The time when something is due next, or a lease ends."""
        return self.claims.next_due(self._connection)

    def _find(self, id: str) -> _Found | None:
        row = self._connection.execute(
            "SELECT key, id, due, hold, file, pending FROM message WHERE id = ?", (id,)
        ).fetchone()
        return None if row is None else _Found(*row)


class _Found(NamedTuple):
    key: int
    id: str
    due: float
    hold: int
    file: int
    pending: bytes

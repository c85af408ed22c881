"""The queue in SQLite keeps the contract of a store, and loses nothing."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from mailframe.message import Pending
from mailframe.plugin import SettingError, Size
from mailframe.testing.queue_drafts import BODY, HEADERS, NOW, StoreCase
from mailframe.testing.queue_store import QueueStoreContract
from mailframe.testing.values import envelope, recipient, site
from mailframe_plugins.queue_sqlite import Settings, SqliteQueue, plugin
from mailframe_plugins.sqlite_store.folder import StoreFolder

LARGE = b"0123456789abcdef" * 40_000  # a file of its own


class SqliteCase:
    """A store in a folder of its own, on the real reactor."""

    settings = {}

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        super().setUp()

    @property
    def queue(self):
        return self.folder / "queue"

    def make_store(self, folder=None, **more):
        where = site(folder or self.folder, reactor=reactor, now=self.now, in_thread=deferToThread)
        return plugin.build(Settings(**{**self.settings, **more}), where)

    async def reopen(self, store):
        """What a kill would leave: the files as they are, nobody having closed them."""
        copy = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, copy, ignore_errors=True)
        shutil.copytree(self.folder, copy, dirs_exist_ok=True)
        await store.close()
        return self.make_store(copy)

    async def damage(self, statement, *values):
        """Change the database while nobody works on it."""
        await self.store.close()
        with sqlite3.connect(self.queue / "queue.db") as connection:
            connection.execute(statement, values)
        connection.close()
        self.store = self.make_store()

    async def whole(self, *ids):
        """These are in the queue, and can be read."""
        for id in ids:
            entry = await self.store.get(id)
            assert entry is not None, id
            assert (await self.read(entry.message.content)).startswith(HEADERS)


class TestSqliteQueue(SqliteCase, QueueStoreContract, TestCase):
    durable = True


class TestSmallDrafts(SqliteCase, QueueStoreContract, TestCase):
    """The contract holds where every body is a file."""

    durable = True
    settings = {"inline": Size(0)}


class TestSqliteDamage(SqliteCase, StoreCase, TestCase):
    """What is damaged is set aside and reported; the rest goes on."""

    async def put_three(self):
        await self.put("M1", body=BODY)
        await self.put("M2", body=LARGE)
        await self.put("M3", body=BODY)

    async def check_aside(self, id, *rest):
        """That message alone was set aside, at the latest when it was claimed."""
        await self.store.next_due()  # what was found out while reading is done by now
        counts = await self.store.counts()
        assert counts["corrupt"] == 1, counts
        assert counts["messages"] == len(rest)
        (line,) = await self.store.corrupt()
        assert id in line
        await self.whole(*rest)
        self.store = await self.reopen(self.store)
        assert (await self.store.counts())["corrupt"] == 1
        await self.whole(*rest)

    async def test_a_damaged_envelope(self):
        """A flipped octet in an envelope or in its recipients is noticed."""
        for column in ("envelope", "pending"):
            await self.put_three()
            await self.damage(
                f"UPDATE message SET {column} = replace({column}, x'6578', x'6579') WHERE id = 'M1'"
            )
            assert await self.claim() == ["M2", "M3"]
            await self.check_aside("M1", "M2", "M3")
            await self.store.close()
            shutil.rmtree(self.queue)
            self.store = self.make_store()

    async def test_a_row_of_another_version(self):
        """What a later version wrote is kept for it."""
        await self.put_three()
        later = json.dumps({"v": 99}).encode()
        from zlib import crc32

        await self.damage(
            "UPDATE message SET pending = ?, pending_sum = ? WHERE id = 'M3'", later, crc32(later)
        )
        found = await self.store.find()
        assert [entry.id for entry in found] == ["M1", "M2"]
        await self.check_aside("M3", "M1", "M2")

    async def test_a_damaged_body(self):
        """A flipped octet in a small body is noticed when it is claimed."""
        await self.put_three()
        await self.damage("UPDATE body SET octets = x'00' || substr(octets, 2) WHERE key = 1")
        assert await self.claim() == ["M2", "M3"]
        await self.check_aside("M1", "M2", "M3")

    async def test_a_body_that_is_gone(self):
        """A message without a body is no message."""
        await self.put_three()
        await self.damage("DELETE FROM body WHERE key = 1")
        assert await self.store.get("M1") is None
        await self.check_aside("M1", "M2", "M3")

    async def test_a_damaged_body_file(self):
        """A body's file is read through before anybody is given it."""

        def shorten(path):
            os.truncate(path, 100)

        def flip(path):
            with path.open("r+b") as file:
                file.seek(5000)
                file.write(b"\0")

        for spoil in (shorten, flip, Path.unlink):
            await self.put_three()
            spoil(self.queue / "bodies" / "M2.body")
            (entry,) = await self.store.find(after="M1", limit=1)
            with self.assertRaises(OSError):
                await self.read(entry.message.content)
            # A record of what is not there any more does no harm.
            await self.store.record("M2", entry.pending)
            await self.check_aside("M2", "M1", "M3")
            await self.store.close()
            shutil.rmtree(self.queue)
            self.store = self.make_store()

    async def test_a_larger_body_in_the_database(self):
        """What is opened when it is wanted is verified then."""
        await self.put("M1", body=b"x" * 100_000)
        await self.put("M3")
        await self.damage("UPDATE body SET octets = zeroblob(100000) WHERE key = 1")
        entry = await self.store.get("M1")
        with self.assertRaises(OSError):
            await self.read(entry.message.content)
        await self.check_aside("M1", "M3")

    async def many(self):
        for number in range(300):
            await self.put(f"M{number:03}", body=bytes([65 + number % 26]) * 3000)
        await self.put("X", body=LARGE)
        await self.store.change(["M007"], "hold", NOW)

    async def spoil_page(self, of, chosen):
        """Overwrite one page of a table or index with nonsense."""
        await self.store.close()
        database = self.queue / "queue.db"
        with sqlite3.connect(database) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            pages = [
                page
                for (page,) in connection.execute(
                    "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path",
                    (of,),
                )
            ]
        connection.close()
        with database.open("r+b") as file:
            file.seek((pages[int(len(pages) * chosen)] - 1) * 4096)
            file.write(b"\xff" * 4096)
        self.store = self.make_store()

    async def test_a_damaged_page(self):
        """What is on other pages is saved into a new database, the old one is kept."""
        for table in ("message", "body", "due", "sqlite_autoindex_message_1"):
            await self.many()
            await self.spoil_page(table, 0.5)
            claimed = await self.store.claim(NOW, 1000, NOW + 100.0)
            listed = await self.store.find(limit=1000)
            counts = await self.store.counts()
            assert counts["corrupt"] >= 1, table
            assert len(await self.store.corrupt()) == counts["corrupt"]
            assert len(listed) >= 280, (table, len(listed))
            assert {entry.id for entry in claimed} <= {entry.id for entry in listed}
            if table in ("due", "sqlite_autoindex_message_1"):
                assert len(listed) == 301
            for entry in listed[::20]:
                octets = await self.read(entry.message.content)
                assert octets.startswith(HEADERS)
            (kept,) = [path for path in (self.queue / "corrupt").iterdir() if path.is_dir()]
            assert (kept / "queue.db").stat().st_size > 300 * 3000
            # Life goes on.
            await self.put("N1", claimed=True)
            await self.store.record("N1", [])
            await self.store.close()
            shutil.rmtree(self.queue)
            self.store = self.make_store()

    async def test_leases_outlive_the_damage(self):
        """What is worked on while the database is saved is not given to another."""
        await self.many()
        await self.store.close()
        self.store = self.make_store()
        claimed = await self.claim(NOW, 5)
        with (self.queue / "queue.db").open("r+b") as file:
            file.seek(4096 * 3)
            file.write(b"\xff" * 4096 * 40)
        for number in range(3):
            await self.put(f"N{number}", body=b"x" * 200_000)
        rest = await self.claim(NOW, 1000)
        assert (await self.store.counts())["corrupt"] >= 1
        assert not set(claimed) & set(rest)

    async def test_a_file_that_is_no_database(self):
        """A destroyed header: a new database is begun, bodies without rows are kept."""
        await self.put_three()
        await self.store.close()
        for end in ("-wal", "-shm"):
            (self.queue / f"queue.db{end}").unlink(missing_ok=True)
        with (self.queue / "queue.db").open("r+b") as file:
            file.write(b"no database at all")
        self.store = self.make_store()
        self.store.startService()
        await self.put("N1")
        counts = await self.store.counts()
        assert (counts["messages"], counts["corrupt"]) == (1, 1)
        assert (self.queue / "corrupt" / "M2.body").exists()

    async def test_a_salvage_that_was_cut_off(self):
        """A crash between the two renames is made good at the next start."""
        await self.put_three()
        await self.store.close()
        (self.queue / "queue.db").rename(self.queue / "queue.db.new")
        (self.queue / "queue.db-wal").write_bytes(b"the old one's")
        self.store = self.make_store()
        await self.whole("M1", "M2", "M3")
        assert not (self.queue / "queue.db.new").exists()
        await self.store.close()
        (self.queue / "queue.db.new").write_bytes(b"not ready")
        self.store = self.make_store()
        await self.whole("M1", "M2", "M3")


class TestSqliteFiles(SqliteCase, StoreCase, TestCase):
    """The folder, its lock, its files."""

    async def test_one_process_at_a_time(self):
        """A second opening is refused, and says who is there."""
        await self.put()
        with self.assertRaisesRegex(OSError, f"in use by process {os.getpid()}"):
            self.make_store().startService()
        await self.store.close()
        self.store = self.make_store()
        self.store.startService()
        await self.whole("M1")

    async def test_only_the_owner_reads_it(self):
        """Folders 0700, bodies 0600."""
        await self.put(body=LARGE)
        assert self.queue.stat().st_mode & 0o777 == 0o700
        assert (self.queue / "bodies").stat().st_mode & 0o777 == 0o700
        assert (self.queue / "bodies" / "M1.body").stat().st_mode & 0o777 == 0o600

    async def test_a_draft_that_a_crash_cut_off_is_swept_away(self):
        """A file without a row goes at the next start; those with one stay."""
        await self.put("M1", body=LARGE)
        draft = self.store.begin(envelope("a@b.example", "c@d.example", id="M2"))
        await draft.write(LARGE)
        assert (self.queue / "bodies" / "M2.body").exists()
        store, self.store = self.store, await self.reopen(self.store)
        await self.whole("M1")
        bodies = self.store.bodies
        assert bodies.found() == ["M1"]
        draft.abort()
        assert store is not self.store

    async def test_finished_bodies_are_removed(self):
        """No file outlives its message, nor a draft that was given up."""
        await self.put("M1", body=LARGE, claimed=True)
        await self.store.record("M1", [])
        draft = self.store.begin(envelope("a@b.example", "c@d.example", id="M2"))
        waiting = draft.write(LARGE)
        draft.abort()
        await waiting
        await self.store.close()
        assert list((self.queue / "bodies").iterdir()) == []

    async def test_odd_ids_make_no_odd_files(self):
        """Whoever names a message cannot leave the folder."""
        await self.put("../../escaped", body=LARGE)
        await self.whole("../../escaped")
        assert len(list((self.queue / "bodies").iterdir())) == 1

    async def test_drafts_do_not_fill_the_memory(self):
        """Beyond the budget small drafts become files, too."""
        self.store.budget.limit = 1000
        drafts = []
        for number in range(4):
            around = envelope("a@b.example", "c@d.example", id=f"M{number}")
            draft = self.store.begin(around)
            waiting = draft.write(b"x" * 600)
            if waiting is not None:
                await waiting
            drafts.append((draft, around))
        assert self.store.budget.used <= 1200
        assert len(list((self.queue / "bodies").iterdir())) == 3
        for draft, around in drafts:
            await draft.commit(around, HEADERS)
        assert self.store.budget.used == 0
        await self.whole("M0", "M1", "M2", "M3")

    async def test_writing_without_waiting_loses_nothing(self):
        """Octets that come while others are written keep their order."""
        around = envelope("a@b.example", "c@d.example")
        draft = self.store.begin(around)
        waits = [draft.write(bytes([number]) * 100_000) for number in range(20)]
        entry = await draft.commit(around, b"")
        await DeferredList([wait for wait in waits if wait is not None])
        octets = await self.read(entry.message.content)
        assert octets == b"".join(bytes([number]) * 100_000 for number in range(20))

    async def test_a_full_disk_refuses_before_it_is_full(self):
        """minimum_free and the declared size decide at begin()."""
        store = self.make_store(minimum_free=Size(1 << 60))
        self.addCleanup(store.close)
        with self.assertRaises(OSError) as caught:
            store.begin(envelope("a@b.example", "c@d.example"))
        assert caught.exception.errno == errno.ENOSPC
        with self.assertRaises(OSError):
            self.store.begin(envelope("a@b.example", "c@d.example", size=1 << 60))

    async def test_a_draft_is_for_its_own_message(self):
        """Another id, no recipients, and a second commit are errors."""
        draft = self.store.begin(envelope("a@b.example", "c@d.example", id="M1"))
        with self.assertRaises(ValueError):
            draft.commit(envelope("a@b.example", "c@d.example", id="M2"), b"")
        with self.assertRaises(ValueError):
            draft.commit(envelope("a@b.example", id="M1"), b"")
        await draft.commit(envelope("a@b.example", "c@d.example", id="M1"), b"")
        with self.assertRaises(OSError):
            draft.commit(envelope("a@b.example", "c@d.example", id="M1"), b"")

    async def test_one_failure_in_a_batch_is_one_failure(self):
        """What is committed together with something impossible is committed all the same."""
        await self.put("M0")
        results = await DeferredList(
            [Deferred.fromCoroutine(self.put(f"M{number}")) for number in (1, 0, 2, 3)],
            consumeErrors=True,
        )
        assert [done for done, _ in results] == [True, False, True, True]
        assert results[1][1].check(OSError)
        assert (await self.store.counts())["messages"] == 4

    async def test_a_worker_has_a_shard_of_its_own(self):
        """The worker's number is a folder."""
        where = site(self.folder, reactor=reactor, in_thread=deferToThread, worker=3)
        store = plugin.build(Settings(), where)
        store.startService()
        await store.close()
        assert (self.queue / "3" / "queue.db").exists()

    async def test_a_database_of_a_later_version_is_left_alone(self):
        """It is not opened, and not taken for damaged."""
        await self.put()
        await self.store.close()
        with sqlite3.connect(self.queue / "queue.db") as connection:
            connection.execute("PRAGMA user_version = 7")
        connection.close()
        with self.assertRaisesRegex(OSError, "version 7"):
            self.make_store().startService()
        assert list((self.queue / "corrupt").iterdir()) == []

    async def test_what_waits_for_a_dead_domain_is_passed_over_once(self):
        """A claim beside thousands of excluded messages does not go over them again."""
        await self.put_many(5000, "u@dead.example")
        excluding = frozenset({"dead.example"})
        assert await self.store.claim(NOW + 1, 10, NOW + 101.0, excluding) == []
        best = 1.0
        for number in range(5):
            await self.put(f"L{number}", "u@live.example")
            start = time.perf_counter()
            (entry,) = await self.store.claim(NOW + 1, 10, NOW + 101.0, excluding)
            best = min(best, time.perf_counter() - start)
            assert entry.id == f"L{number}"
        assert best < 0.02
        assert len(await self.store.claim(NOW + 1, 10, NOW + 101.0)) == 10

    async def put_many(self, count, to):
        await DeferredList(
            [Deferred.fromCoroutine(self.put(f"D{number:06}", to)) for number in range(count)]
        )


def test_inline_has_a_limit():
    """Huge bodies do not go into the database."""
    with pytest.raises(SettingError) as wrong:
        plugin.build(Settings(inline=Size(1 << 30)), site())
    assert wrong.value.key == "inline"


_CLIENT = """
import sys, time
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from mailframe.testing.values import envelope, site
from mailframe_plugins.queue_sqlite import Settings, SqliteQueue, plugin

where = site(sys.argv[1], reactor=reactor, now=time.time, in_thread=deferToThread)
store = plugin.build(Settings(), where)

async def send(lane):
    number = 0
    while True:
        id = f"{sys.argv[2]}-{lane}-{number}"
        body = (id * (20 if number % 7 else 60_000)).encode()
        around = envelope("a@b.example", "c@d.example", id=id)
        draft = store.begin(around)
        waiting = draft.write(body)
        if waiting is not None:
            await waiting
        await draft.commit(around, b"", time.time() + 300)
        sys.stdout.write(f"250 {id}\\n")
        if number % 5 == 4:
            await store.record(id, [])
            sys.stdout.write(f"gone {id}\\n")
        sys.stdout.flush()
        number += 1

for lane in range(8):
    Deferred.fromCoroutine(send(lane)).addErrback(lambda f: (f.printTraceback(), reactor.stop()))
reactor.run()
"""


class TestSqliteKilled(SqliteCase, StoreCase, TestCase):
    """kill -9 at any moment."""

    async def test_what_was_acknowledged_is_there(self):
        """After every kill: each message that was committed, octet by octet, and no other file."""
        kept, gone = set(), set()
        for run in range(4):
            output = await deferToThread(self.run_and_kill, f"R{run}", 0.25 + 0.13 * run)
            for line in output.splitlines(keepends=True):
                if line.endswith("\n"):
                    word, id = line.split()
                    (kept if word == "250" else gone).add(id)
        assert len(kept) > 20
        entries, after = {}, ""
        while page := await self.store.find(after=after):
            after = page[-1].id
            entries.update((entry.id, entry) for entry in page)
        # Removed but not yet told of is possible for the one that each lane was at.
        assert len(kept - gone - set(entries)) <= 4 * 8
        assert all(int(id.split("-")[2]) % 5 == 4 for id in kept - gone - set(entries))
        assert not gone & set(entries)
        for id, entry in list(entries.items()):
            times = 20 if int(id.split("-")[2]) % 7 else 60_000
            assert await self.read(entry.message.content) == (id * times).encode()
        files = set(self.store.bodies.found())
        assert files == {id for id in entries if int(id.split("-")[2]) % 7 == 0}
        assert (await self.store.counts())["corrupt"] == 0

    def run_and_kill(self, name, seconds):
        child = subprocess.Popen(
            [sys.executable, "-c", _CLIENT, str(self.folder), name],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        first = child.stdout.readline()
        assert first.startswith("250"), first + child.stdout.read()
        # What the pipe holds back must not hold back the child.
        lines = [first]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            lines.append(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        lines.append(child.stdout.read())
        child.wait()
        child.stdout.close()
        return "".join(lines)


def mounted_disk(case, size):
    """A file system of that size, unmounted after the test."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        case.skipTest("mounting a small disk needs root's rights")
    disk = Path(tempfile.mkdtemp())
    case.addCleanup(disk.rmdir)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], capture_output=True
    )
    if mounted.returncode:
        case.skipTest("mounting is not allowed here")
    case.addCleanup(subprocess.run, ["umount", "-l", disk], check=True)
    return disk


class TestSqliteSmallDisk(SqliteCase, StoreCase, TestCase):
    """A disk of 4 MB: what goes must be recorded, however many come at once."""

    def setUp(self):
        self.disk = mounted_disk(self, "4m")
        super().setUp()

    def make_store(self, folder=None, **more):
        where = site(self.disk, reactor=reactor, now=self.now, in_thread=deferToThread)
        return SqliteQueue(Settings(**{**self.settings, **more}), where)

    async def test_many_at_once_leave_room_for_what_leaves(self):
        """Commits that wait together are counted; all that were accepted can be removed."""
        for _ in range(3):
            drafts = []
            for number in range(60):
                around = envelope("a@b.example", "c@d.example", id=f"M{number}")
                drafts.append((around, self.store.begin(around)))
                drafts[-1][1].write(bytes(100_000))
            results = await DeferredList(
                [draft.commit(around, b"", NOW + 300) for around, draft in drafts],
                consumeErrors=True,
            )
            kept = [result.id for good, result in results if good]
            refused = [result.value for good, result in results if not good]
            assert len(kept) >= 5
            assert refused
            assert all(isinstance(why, OSError) and why.errno == errno.ENOSPC for why in refused)
            for id in kept:
                await self.store.record(id, ())
            assert (await self.store.counts())["messages"] == 0


class TestSqliteFullDisk(SqliteCase, StoreCase, TestCase):
    """A real small disk: mounting one needs root's rights."""

    def setUp(self):
        self.disk = mounted_disk(self, "24m")
        super().setUp()

    def make_store(self, folder=None, **more):
        # Nothing is kept in reserve: here the writes themselves find the disk full.
        self.patch(StoreFolder, "reserve", 0)
        self.patch(SqliteQueue, "has_room", lambda store, octets: True)
        where = site(self.disk, reactor=reactor, now=self.now, in_thread=deferToThread)
        return SqliteQueue(Settings(**{**self.settings, **more}), where)

    async def fill(self, body):
        """Messages until the disk is full; how many there are."""
        for number in range(2000):
            try:
                await self.put(f"F{number:04}", body=body, claimed=True)
            except OSError as full:
                assert full.errno == errno.ENOSPC, full
                return number
        raise AssertionError("the disk is never full")

    async def test_a_full_disk_loses_nothing_and_recovers(self):
        """Small bodies, and large ones: ENOSPC, then room again, then all goes on."""
        for body in (BODY * 2000, LARGE):
            count = await self.fill(body)
            assert count > 1
            ids = [f"F{number:04}" for number in range(count)]
            entries = await self.store.find(limit=2000)
            assert [entry.id for entry in entries] == ids
            for entry in entries[:: max(1, count // 10)]:
                assert await self.read(entry.message.content) == HEADERS + body
            for id in ids:
                await self.store.record(id, [])
            await self.put("after", body=body, claimed=True)
            await self.whole("after")
            await self.store.record("after", [])
            counts = await self.store.counts()
            assert (counts["messages"], counts["corrupt"]) == (0, 0)
            await self.store.close()
            assert self.store.bodies.found() == []
            self.store = self.make_store()

    async def test_a_disk_that_becomes_read_only(self):
        """Commits fail with an OSError, and what is there can still be read."""
        await self.put("M1")
        remount = ["mount", "-o", "remount,ro", self.disk]
        if subprocess.run(remount, capture_output=True).returncode:
            # Files open for writing keep a file system busy; then this cannot be tried.
            return
        with self.assertRaises(OSError):
            await self.put("M2")
        subprocess.run(["mount", "-o", "remount,rw", self.disk], check=True)
        await self.put("M3", claimed=True)
        await self.store.record("M3", [Pending(recipient(), NOW)])
        await self.whole("M1", "M3")

    async def test_a_folder_that_cannot_be_written(self):
        """The start says why."""
        await self.store.close()
        subprocess.run(["mount", "-o", "remount,ro", self.disk], check=True)
        with self.assertRaises(OSError):
            self.make_store().startService()

"""The queue in SQLite keeps the contract of a store, and loses nothing."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
from sqlite_case import LARGE, SqliteCase
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from mailframe.plugin import SettingError, Size
from mailframe.testing.queue_drafts import HEADERS, NOW, StoreCase
from mailframe.testing.queue_store import QueueStoreContract
from mailframe.testing.values import envelope, site
from mailframe_plugins.queue_sqlite import Settings, plugin
from mailframe_plugins.sqlite_store import schema, writer


class TestSqliteQueue(SqliteCase, QueueStoreContract, TestCase):
    durable = True


class TestSmallDrafts(SqliteCase, QueueStoreContract, TestCase):
    """The contract holds where every body is a file."""

    durable = True
    settings = {"inline": Size(0)}


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

    async def test_after_a_burst_its_space_is_given_back(self):
        """A megabyte at a time, while the queue works on."""
        await self.put("M", body=b"x" * 50_000, claimed=True)
        ids = [f"B{number:03}" for number in range(200)]
        puts = [self.put(id, body=b"x" * 100_000, claimed=True) for id in ids]
        await DeferredList([Deferred.fromCoroutine(put) for put in puts])
        for id in ids:
            await self.store.record(id, ())
        database = self.queue / "queue.db"
        self.assertEqual((await self.store.counts())["messages"], 1)
        await self.store.close()
        self.assertGreater(database.stat().st_size, 16 << 20)
        self.patch(writer, "_SHRINK_AFTER", 0.0)
        self.patch(writer, "_SHRINK_NEXT", 0.0)
        self.store = self.make_store()
        steps = set()
        while database.stat().st_size > 5 << 20:
            steps.add(database.stat().st_size)
            await self.store.counts()
            await self.store.renew(["M"], NOW + 300)
        self.assertTrue(2 < len(steps) < 40, steps)
        await self.whole("M")

    async def test_a_database_of_before_can_shrink_as_well(self):
        """It is written anew at the start, unless it is large."""

        async def after(statement):
            await self.damage(statement)
            with closing(sqlite3.connect(self.queue / "queue.db")) as connection:
                connection.isolation_level = None
                connection.execute("PRAGMA auto_vacuum = NONE")
                connection.execute("VACUUM")
            self.store.startService()
            await self.whole("M1")
            with closing(sqlite3.connect(self.queue / "queue.db")) as connection:
                return connection.execute("PRAGMA auto_vacuum").fetchone()[0]

        await self.put("M1")
        self.patch(schema, "SMALL", 0)
        self.assertEqual(await after("SELECT 1"), 0)
        self.patch(schema, "SMALL", 1 << 20)
        self.assertEqual(await after("SELECT 1"), 2)

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

"""The queue in SQLite on disks that are small, full or read-only."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from sqlite_case import LARGE, SqliteCase
from twisted.internet import reactor
from twisted.internet.defer import DeferredList
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from mailframe.message import Pending
from mailframe.testing.queue_drafts import BODY, HEADERS, NOW, StoreCase
from mailframe.testing.values import envelope, recipient, site
from mailframe_plugins.queue_sqlite import Settings, SqliteQueue
from mailframe_plugins.sqlite_store.folder import StoreFolder


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

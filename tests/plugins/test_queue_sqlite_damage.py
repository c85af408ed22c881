"""What is damaged in a queue in SQLite is set aside, and the rest goes on."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path

from sqlite_case import LARGE, SqliteCase
from twisted.trial.unittest import TestCase

from mailframe.testing.queue_drafts import BODY, HEADERS, NOW, StoreCase


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

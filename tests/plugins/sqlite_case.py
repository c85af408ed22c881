"""A store in SQLite for a test, on the real reactor."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from mailframe.testing.queue_drafts import HEADERS
from mailframe.testing.values import site
from mailframe_plugins.queue_sqlite import Settings, plugin

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

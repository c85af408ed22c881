"""One worker's queue: its own part of the store, and the parts of workers that are gone."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from mailframe.config import load
from mailframe.host.resources import Resources
from mailframe.host.shards import Shards
from mailframe.message import Pending
from mailframe.testing.queue_drafts import BODY, HEADERS, NOW, StoreCase, soon
from mailframe.testing.queue_store import QueueStoreContract
from mailframe.testing.values import envelope, recipient, site
from mailframe_plugins.queue_memory import Settings as MemorySettings
from mailframe_plugins.queue_memory import plugin as memory
from mailframe_plugins.queue_sqlite import Settings, plugin

TOML = """\
hostname = "mx.example.org"
state = "state"
[queue]
plugin = "sqlite"
"""


async def put(store: Any, id: str, to: str = "bob@example.org") -> None:
    """A message in this very store."""
    around = envelope("alice@client.example", to, id=id)
    draft = store.begin(around)
    await soon(draft.write(BODY))
    await soon(draft.commit(around, HEADERS))


class ShardsContractTests(QueueStoreContract, TestCase):
    """With an adopted part beside it, a store keeps its contract."""

    def make_store(self) -> Shards:
        def part() -> Any:
            return memory.build(MemorySettings(), site(now=self.now))

        return Shards(part(), {1: part(), 2: part()})


class AdoptionTests(StoreCase, TestCase):
    """Worker 0 of one, where there were three; each part is a database of its own."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.parts = {number: self.part(number) for number in range(3)}
        super().setUp()

    def part(self, number: int) -> Any:
        return plugin.build(
            Settings(),
            site(
                self.folder, reactor=reactor, now=self.now, in_thread=deferToThread, worker=number
            ),
        )

    def make_store(self) -> Shards:
        store = Shards(self.parts[0], {number: self.parts[number] for number in (1, 2)})
        store.startService()
        return store

    async def three(self) -> None:
        """M0, M1, M2, each in the part of its number."""
        for number in (2, 0, 1):
            await put(self.parts[number], f"M{number}", f"bob@{number}.example")

    async def test_each_part_is_a_folder(self) -> None:
        """Worker 0 has the queue's folder, the others folders in it; each says who is there."""
        self.assertTrue((self.folder / "queue" / "queue.db").exists())
        self.assertTrue((self.folder / "queue" / "2" / "queue.db").exists())
        self.assertEqual(self.parts[1].shards(), [0, 1, 2])

    async def test_looks_like_one_queue(self) -> None:
        """Lists in the order of ids, pages, counts and single messages are those of all parts."""
        await self.three()
        found = await self.store.find(limit=2)
        self.assertEqual([entry.id for entry in found], ["M0", "M1"])
        found = await self.store.find(after="M1")
        self.assertEqual([entry.id for entry in found], ["M2"])
        found = await self.store.find(address="@1.example")
        self.assertEqual([entry.id for entry in found], ["M1"])
        self.assertEqual((await self.store.counts())["messages"], 3)
        entry = await self.store.get("M2")
        self.assertEqual(await self.read(entry.message.content), HEADERS + BODY)
        self.assertIsNone(await self.store.get("M9"))
        self.assertEqual(list(await self.store.corrupt()), [])

    async def test_changes_find_their_message(self) -> None:
        """Hold, release and delete reach the part where the message lies."""
        await self.three()
        self.assertEqual(await self.store.change(["M2", "M0"], "hold", NOW), ["M0", "M2"])
        self.assertEqual(await self.claim(), ["M1"])
        self.assertEqual(await self.store.change(["M2"], "delete", NOW), ["M2"])
        self.assertIsNone(await self.parts[2].get("M2"))

    async def test_claims_are_of_all_parts(self) -> None:
        """Leases are renewed, given back and ended where the message lies."""
        await self.three()
        self.assertEqual(sorted(await self.claim()), ["M0", "M1", "M2"])
        self.assertEqual(await self.claim(), [])
        self.assertEqual(await self.store.renew(["M0", "M2"], NOW + 900), {"M0", "M2"})
        await soon(self.store.release(["M1"]))
        self.assertEqual(await self.claim(), ["M1"])
        await soon(self.store.record("M1", [Pending(recipient("b@1.example"), NOW + 60)]))
        self.assertEqual(await self.store.next_due(), NOW + 60)
        self.assertEqual(await self.claim(NOW + 60), ["M1"])
        for id in ("M0", "M1", "M2"):
            await soon(self.store.record(id, []))
        self.assertEqual((await self.store.counts())["messages"], 0)

    async def test_neither_starves_the_other(self) -> None:
        """Of a claim with room for two one is adopted mail and one is our own."""
        for number in range(4):
            await put(self.parts[0], f"A{number}")
            await put(self.parts[1], f"B{number}")
        claimed = await self.claim(limit=2)
        self.assertEqual([id[0] for id in claimed], ["B", "A"])
        self.assertEqual((await self.claim(limit=1))[0][0], "B")

    async def test_a_part_that_is_worked_off_is_closed(self) -> None:
        """Another process may have it then; one with a message on hold is kept open."""
        await put(self.parts[2], "M2")
        await self.store.change(["M2"], "hold", NOW)
        self.assertEqual(await self.claim(), [])
        other = self.part(1)
        other.startService()  # it would say that part 1 is in use
        await other.close()
        with self.assertRaisesRegex(OSError, "in use"):
            self.part(2).startService()
        self.assertEqual([entry.id for entry in await self.store.find()], ["M2"])

    async def test_new_mail_is_our_own(self) -> None:
        """Nothing is added to an adopted part."""
        await self.put("M7")
        self.assertIsNotNone(await self.parts[0].get("M7"))
        await self.store.stopService()


class DealtOutTests(TestCase):
    """Who takes care of which part."""

    def adopted(self, worker: int, workers: int) -> list[str]:
        """The folders that this worker opens."""
        resources = Resources(self.composition, reactor, lambda: NOW, None, worker, workers)
        store: Any = resources.hooks.store
        parts = store._all if isinstance(store, Shards) else [store]
        return [part._folder.folder.name for part in parts]

    def test_orphans_are_dealt_out(self) -> None:
        """Of the parts 0 to 4, two workers have 0, 2, 4 and 1, 3; five have one each."""
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        (folder / "mailframe.toml").write_text(TOML)
        self.composition = load(folder / "mailframe.toml")
        self.assertEqual(self.adopted(0, 1), ["queue"])
        for name in ("", "1", "2", "3", "4", "corrupt"):
            (folder / "state" / "queue" / name).mkdir(parents=True, exist_ok=True)
            (folder / "state" / "queue" / name / "queue.db").touch()
        self.assertEqual(self.adopted(0, 2), ["queue", "2", "4"])
        self.assertEqual(self.adopted(1, 2), ["1", "3"])
        self.assertEqual(self.adopted(0, 1), ["queue", "1", "2", "3", "4"])
        self.assertEqual(self.adopted(4, 5), ["4"])

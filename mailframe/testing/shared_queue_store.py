"""The contract for several owners of one queue: hosts, or workers that share a store.

    class TestMySharedStore(SharedStoreContract, TestCase):     # twisted.trial.unittest.TestCase
        def make_stores(self):
            return MyStore(..., owner="one"), MyStore(..., owner="other")

Both are open at the same time, and see the same messages. A store of which each worker has a part
(IShardedStore) does not need this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, gatherResults

from ..eventual import settled
from ..interfaces import IShardedStore, LeaseLost
from ..message import Entry, Pending
from .queue_drafts import HEADERS, NOW, soon
from .values import envelope, recipient

if TYPE_CHECKING:
    from unittest import TestCase as _Base
else:
    _Base = object


def _closed(store: Any) -> Deferred[None]:
    return Deferred.fromCoroutine(soon(store.close()))


class SharedStoreContract(_Base):
    """Mix it into a trial TestCase, besides one for QueueStoreContract."""

    def make_stores(self) -> tuple[Any, Any]:
        """Two owners' stores for the same new, empty queue."""
        raise NotImplementedError

    def setUp(self) -> None:
        """Make two owners for each test; they are closed afterwards."""
        self.one, self.other = self.make_stores()
        for store in (self.one, self.other):
            self.addCleanup(_closed, store)

    async def put(self, store: Any, id: str = "M1", lease: float | None = None) -> Entry:
        """Commit a message to bob@example.org in this owner's store."""
        around = envelope("alice@client.example", "bob@example.org", id=id, received=NOW)
        draft = store.begin(around)
        await soon(draft.write(b"Subject: test\r\n\r\nHello.\r\n"))
        entry: Entry = await soon(draft.commit(around, HEADERS, lease))
        return entry

    async def claim(self, store: Any, now: float = NOW, limit: int = 100) -> list[str]:
        """Claim for 100 seconds; the ids."""
        return [entry.id for entry in await soon(store.claim(now, limit, now + 100.0))]

    async def heard(self, calls: list[None]) -> bool:
        """True if there is a call within five seconds."""
        from twisted.internet import reactor
        from twisted.internet.task import deferLater

        for _ in range(500):
            if calls:
                return True
            await deferLater(reactor, 0.01)
        return False

    async def test_it_is_one_store_for_all(self) -> None:
        """It does not provide IShardedStore, and each owner sees messages of the other."""
        self.assertFalse(IShardedStore.providedBy(self.one))
        await self.put(self.one, "M1")
        await self.put(self.other, "M2")
        for store in (self.one, self.other):
            self.assertEqual([entry.id for entry in await soon(store.find())], ["M1", "M2"])
            self.assertEqual((await soon(store.counts()))["messages"], 2)

    async def test_a_message_is_claimed_by_one(self) -> None:
        """Claims at the same time share the due messages between them."""
        ids = [f"M{number:02}" for number in range(30)]
        for id in ids:
            await self.put(self.one, id)
        claims = [
            Deferred.fromCoroutine(settled(store.claim(NOW, 10, NOW + 100.0)))
            for store in (self.one, self.other) * 2
        ]
        found = [entry.id for entries in await gatherResults(claims) for entry in entries]
        self.assertEqual(sorted(found), ids)
        self.assertTrue((await soon(self.other.get("M00"))).leased)

    async def test_a_lease_from_birth_keeps_the_other_away(self) -> None:
        """Until it ends, or until its owner gives it back; the other owner cannot."""
        await self.put(self.one, lease=NOW + 1000)
        await soon(self.other.release(["M1"]))
        self.assertEqual(await self.claim(self.other, NOW + 999), [])
        self.assertEqual(await self.claim(self.other, NOW + 1001), ["M1"])

    async def test_leases_are_renewed_by_their_owner(self) -> None:
        """renew() by the other owner returns nothing and moves nothing."""
        await self.put(self.one)
        await self.claim(self.one)
        self.assertEqual(await soon(self.other.renew(["M1"], NOW + 900)), frozenset())
        self.assertEqual(await soon(self.one.renew(["M1"], NOW + 500)), {"M1"})
        self.assertEqual(await self.claim(self.other, NOW + 499), [])
        self.assertEqual(await self.claim(self.other, NOW + 501), ["M1"])
        self.assertEqual(await soon(self.one.renew(["M1"], NOW + 900)), frozenset())

    async def test_who_lost_a_lease_records_nothing(self) -> None:
        """It gets LeaseLost, whatever it records; the message stays as the other owner has it."""
        await self.put(self.one)
        await self.claim(self.one)
        self.assertEqual(await self.claim(self.other, NOW + 101), ["M1"])
        left = [Pending(recipient("carol@example.net"), NOW + 5)]
        for pending, release in ((left, True), (left, False), ([], True)):
            with self.assertRaises(LeaseLost):
                await soon(self.one.record("M1", pending, release))
        await soon(self.one.release(["M1"]))
        entry = await soon(self.other.get("M1"))
        self.assertEqual((entry.leased, entry.pending), (True, (Pending(recipient(), NOW),)))
        await soon(self.other.record("M1", []))
        self.assertIsNone(await soon(self.one.get("M1")))

    async def test_what_another_finished_is_left_alone(self) -> None:
        """record() on a message that is gone does nothing."""
        await self.put(self.one)
        await self.claim(self.one)
        await self.claim(self.other, NOW + 101)
        await soon(self.other.record("M1", []))
        await soon(self.one.record("M1", [Pending(recipient(), NOW)]))
        self.assertIsNone(await soon(self.one.get("M1")))

    async def test_changes_are_seen_by_all(self) -> None:
        """Either can hold, release, retry and delete, but not delete what the other works on."""
        await self.put(self.one, lease=NOW + 100)
        self.assertEqual(await soon(self.other.change(["M1"], "delete", NOW)), [])
        self.assertEqual(await soon(self.other.change(["M1"], "hold", NOW)), ["M1"])
        await soon(self.one.release(["M1"]))
        self.assertEqual(await self.claim(self.one), [])
        self.assertEqual(await soon(self.one.change(["M1"], "release", NOW)), ["M1"])
        self.assertEqual(await soon(self.other.change(["M1"], "delete", NOW)), ["M1"])
        self.assertIsNone(await soon(self.one.get("M1")))

    async def test_a_watcher_hears_what_another_brings_and_changes(self) -> None:
        """After a commit without a lease, a release, a record with recipients left, and a retry."""

        async def record() -> None:
            await self.claim(self.one)
            await soon(self.one.record("M1", [Pending(recipient(), NOW + 9000)]))

        async def release() -> None:
            await self.claim(self.one)
            await soon(self.one.release(["M1"]))

        async def retry() -> None:
            await soon(self.one.change(["M1"], "retry", NOW))

        calls: list[None] = []
        self.other.watch(lambda: calls.append(None))
        acts: tuple[Callable[[], Any], ...] = (lambda: self.put(self.one), release, record, retry)
        for act in acts:
            calls.clear()
            await act()
            self.assertTrue(await self.heard(calls), act)

    async def test_what_an_owner_leaves_behind_is_given_back(self) -> None:
        """close() gives its leases back, and the other owner goes on."""
        await self.put(self.one, lease=NOW + 9000)
        await soon(self.one.close())
        self.assertEqual(await self.claim(self.other), ["M1"])

"""The base of all tests of queue stores, and the contract of drafts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from ..eventual import settled
from ..interfaces import IDraft, IQueueStore
from ..message import Content, Entry, Pending, Recipient
from ..smtp.address import Mailbox
from .values import client, envelope, recipient

if TYPE_CHECKING:
    from unittest import TestCase as _Base
else:
    _Base = object

T = TypeVar("T")

NOW = 1_000_000_000.0
BODY = b"Subject: test\r\n\r\nHello.\r\n"
HEADERS = b"Received: from a by b\r\n"


#: Waits for a store's answer: `await soon(store.claim(…))`.
soon = settled


class StoreCase(_Base):
    """The base of all tests of a store: a store for each test, and short ways to use it."""

    durable = False

    def make_store(self) -> Any:
        """A new, empty store."""
        raise NotImplementedError

    async def reopen(self, store: Any) -> Any:
        """The same store as another process finds it, after this one was killed."""
        raise NotImplementedError

    def now(self) -> float:
        """The time at which the messages of `put` are received."""
        return NOW

    def setUp(self) -> None:
        """Make a store for each test; it is closed afterwards."""
        self.store: Any = self.make_store()
        self.addCleanup(lambda: Deferred.fromCoroutine(soon(self.store.close())))

    async def put(
        self,
        id: str = "M1",
        *recipients: str | Recipient,
        sender: str | None = "alice@client.example",
        body: bytes = BODY,
        claimed: bool = False,
        lease: float | None = None,
        **more: Any,
    ) -> Entry:
        """Commit a message, by default to bob@example.org. `claimed` leases it for 300 s."""
        lease = NOW + 300 if claimed else lease
        more = {"received": self.now(), **more}
        around = envelope(sender, *(recipients or ("bob@example.org",)), id=id, **more)
        draft = self.store.begin(around)
        try:
            for start in range(0, len(body), 1 << 16):
                await soon(draft.write(body[start : start + (1 << 16)]))
            entry: Entry = await soon(draft.commit(around, HEADERS, lease))
        finally:
            draft.abort()
        return entry

    async def claim(self, now: float = NOW, limit: int = 100, *excluding: str) -> list[str]:
        """Claim for 100 seconds; the ids."""
        found: Sequence[Entry] = await soon(
            self.store.claim(now, limit, now + 100.0, frozenset(excluding))
        )
        return [entry.id for entry in found]

    async def read(self, content: Content) -> bytes:
        """All octets, opened in a thread, as an agent does it."""
        from twisted.internet.threads import deferToThread

        def octets() -> bytes:
            with content.open() as file:
                return file.read()

        return await deferToThread(octets)


class DraftContract(StoreCase):
    """The first half of QueueStoreContract."""

    interface = IQueueStore

    async def test_it_provides_the_interface(self) -> None:
        """A store provides IQueueStore, its drafts IDraft."""
        verifyObject(IQueueStore, self.store)
        draft = self.store.begin(envelope("a@b.example", "c@d.example"))
        verifyObject(IDraft, draft)
        draft.abort()

    async def test_what_was_committed_is_claimed_as_it_was(self) -> None:
        """A claim gives the envelope, the headers on top and the octets of the body, unchanged."""
        who = recipient(
            "bob@example.org",
            notify=frozenset({"SUCCESS", "DELAY"}),
            orcpt="rfc822;b@x.example",
            came_from=(Mailbox("all of us", "example.org"),),
            sender=Mailbox("owner", "lists.example"),
        )
        around = envelope(
            "jürgen@bücher.example",
            who,
            id="M1",
            client=client(user="jürgen", signals={"ptr": "none"}),
            size=5,
            body="8BITMIME",
            smtputf8=True,
            ret="HDRS",
            envid="E 1",
            auth="<>",
            received=NOW - 1.5,
            signals={"spf": "pass"},
        )
        draft = self.store.begin(around)
        await soon(draft.write(BODY))
        told = await soon(draft.commit(around, HEADERS))
        (entry,) = await soon(self.store.claim(NOW, 5, NOW + 100.0))
        for each in (told, entry):
            self.assertEqual(each.message.envelope, around)
            self.assertEqual(await self.read(each.message.content), HEADERS + BODY)
            self.assertEqual(each.message.content.body_size, len(BODY))
            self.assertEqual(each.pending, (Pending(who, NOW - 1.5),))
            self.assertEqual(each.created, NOW - 1.5)
        self.assertTrue(entry.leased)

    async def test_the_null_sender_is_kept(self) -> None:
        """A null reverse-path comes back as one."""
        await self.put(sender=None)
        (entry,) = await soon(self.store.claim(NOW, 5, NOW + 100.0))
        self.assertIsNone(entry.message.envelope.sender)

    async def test_bodies_of_all_sizes_are_kept(self) -> None:
        """No octets, a little more than a page, and several megabytes come back unchanged."""
        sizes = (0, 1, 4095, 70_000, 300_000, 3_000_000)
        for number, size in enumerate(sizes):
            body = (bytes(range(256)) * (size // 256 + 1))[:size]
            await self.put(f"M{number}", body=body)
        for entry in await soon(self.store.claim(NOW, 10, NOW + 100.0)):
            size = sizes[int(entry.id[1:])]
            expected = HEADERS + (bytes(range(256)) * (size // 256 + 1))[:size]
            self.assertEqual(await self.read(entry.message.content), expected)

    async def test_a_draft_shows_its_content(self) -> None:
        """Filters can read what has been written before it is committed."""
        for size in (10, 2_000_000):
            around = envelope("a@b.example", "c@d.example", id=f"M{size}")
            draft = self.store.begin(around)
            await soon(draft.write(b"x" * size))
            content = draft.content()
            self.assertEqual(content.body_size, size)
            self.assertEqual(await self.read(content), b"x" * size)
            entry = await soon(draft.commit(around, b""))
            self.assertEqual(await self.read(entry.message.content), b"x" * size)

    async def test_an_aborted_draft_leaves_nothing(self) -> None:
        """abort() drops the draft. A second call does no harm, nor does one after a commit."""
        for size in (10, 2_000_000):
            draft = self.store.begin(envelope("a@b.example", "c@d.example", id=f"M{size}"))
            await soon(draft.write(b"x" * size))
            draft.abort()
            draft.abort()
            with self.assertRaises(OSError):
                draft.write(b"more")
        around = envelope("a@b.example", "c@d.example", id="M3")
        draft = self.store.begin(around)
        await soon(draft.commit(around, HEADERS))
        draft.abort()
        self.assertEqual(await self.claim(), ["M3"])

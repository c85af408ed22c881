"""The contract of a queue store, as a test for every implementation.

    class TestMyStore(QueueStoreContract, TestCase):    # twisted.trial.unittest.TestCase
        def make_store(self):
            return MyStore(...)

Times are the test's own and begin at `NOW`. If a store keeps messages over a restart, its test sets
`durable` and implements `reopen`. The contract for several owners of one store is in
`mailframe.testing.shared_queue_store`.
"""

from __future__ import annotations

import errno
from dataclasses import replace

from twisted.internet.defer import Deferred, gatherResults

from ..interfaces import LeaseLost
from ..message import Pending, Recipient
from ..smtp.address import Mailbox
from ..smtp.reply import Reply
from .queue_drafts import BODY, HEADERS, NOW, DraftContract, soon
from .values import envelope, recipient

__all__ = ["BODY", "HEADERS", "NOW", "QueueStoreContract", "soon"]

BUSY = Reply(451, "Try later", "4.3.0")


class QueueStoreContract(DraftContract):
    """Mix it into a trial TestCase; it must run with a real reactor if the store needs one."""

    async def test_an_id_is_used_once(self) -> None:
        """A second message with the same id is refused with an OSError.

        The first stays unharmed.
        """
        await self.put("M1")
        with self.assertRaises(OSError):
            await self.put("M1", body=b"another")
        self.assertEqual((await soon(self.store.counts()))["messages"], 1)

    async def test_claimed_from_birth(self) -> None:
        """commit(lease=…) leases the message, so no claim gives it until it is released."""
        entry = await self.put(claimed=True)
        self.assertTrue(entry.leased)
        self.assertEqual(await self.claim(), [])
        await soon(self.store.release(["M1"]))
        self.assertEqual(await self.claim(), ["M1"])

    async def test_a_lease_from_birth_ends_when_it_was_said(self) -> None:
        """The lease ends at the given time, however far that is: a store has no clock."""
        for id, lease in (("M1", NOW + 10), ("M2", NOW + 3600)):
            await self.put(id, lease=lease)
        self.assertEqual(await soon(self.store.next_due()), NOW + 10)
        self.assertEqual(await self.claim(NOW + 9), [])
        self.assertEqual(await self.claim(NOW + 11), ["M1"])
        self.assertEqual(await self.claim(NOW + 3599, 9), ["M1"])
        self.assertEqual(await self.claim(NOW + 3601, 9), ["M2"])

    async def test_the_most_overdue_come_first(self) -> None:
        """A claim is in the order of the due times and gives no more than asked for."""
        for number in range(5):
            await self.put(f"M{number}", claimed=True)
            due = NOW + 10 - number
            await soon(self.store.record(f"M{number}", [Pending(recipient(), due)]))
        self.assertEqual(await self.claim(NOW + 8.5), ["M4", "M3", "M2"][:3])
        self.assertEqual(await self.claim(NOW + 20, 1), ["M1"])
        self.assertEqual(await self.claim(NOW + 20), ["M0"])

    async def test_a_lease_keeps_others_away_until_it_ends(self) -> None:
        """A leased message is claimed again only once the lease has run out."""
        await self.put()
        self.assertEqual(await self.claim(NOW), ["M1"])
        self.assertEqual(await self.claim(NOW + 99), [])
        self.assertEqual(await self.claim(NOW + 101), ["M1"])

    async def test_a_lease_is_prolonged(self) -> None:
        """renew() moves the end of the leases, and gives the ids that are still ours."""
        await self.put()
        await self.claim(NOW)
        ours = await soon(self.store.renew(["M1", "unknown"], NOW + 500))
        self.assertEqual(ours, {"M1"})
        self.assertEqual(await self.claim(NOW + 499), [])
        self.assertEqual(await self.claim(NOW + 501), ["M1"])

    async def test_a_lease_that_was_given_back_is_not_ours(self) -> None:
        """After release or record nothing can be renewed."""
        await self.put()
        await self.claim(NOW)
        await soon(self.store.release(["M1", "unknown"]))
        self.assertEqual(await soon(self.store.renew(["M1"], NOW + 500)), frozenset())

    async def test_nothing_is_recorded_without_a_lease(self) -> None:
        """record() fails with LeaseLost, before a claim and after a release; nothing changes."""
        left = [Pending(recipient("dave@example.com"), NOW + 60)]
        for release in (False, True):
            await self.put(f"M{release:d}")
            if release:
                await self.claim()
                await soon(self.store.release(["M1"]))
            for pending in (left, []):
                with self.assertRaises(LeaseLost):
                    await soon(self.store.record(f"M{release:d}", pending))
            entry = await soon(self.store.get(f"M{release:d}"))
            self.assertEqual(entry.pending, (Pending(recipient(), NOW),))

    async def test_a_lease_that_has_ended_is_still_good_while_nobody_else_has_one(self) -> None:
        """It can be renewed, and outcomes can be recorded."""
        for id in ("M1", "M2", "M3"):
            await self.put(id)
        await self.claim()
        self.assertEqual(await self.claim(NOW + 200, 9, "example.org"), [])
        self.assertEqual(await soon(self.store.renew(["M1"], NOW + 900)), {"M1"})
        await soon(self.store.record("M2", [Pending(recipient(), NOW + 800)]))
        await soon(self.store.record("M3", []))
        self.assertIsNone(await soon(self.store.get("M3")))
        self.assertEqual(await self.claim(NOW + 799), [])
        self.assertEqual(await self.claim(NOW + 801), ["M2"])
        self.assertEqual(await self.claim(NOW + 901), ["M1", "M2"])

    async def test_it_can_be_watched(self) -> None:
        """watch() may be called before and after a message comes, and disturbs nothing."""
        calls: list[None] = []
        self.store.watch(lambda: calls.append(None))
        await self.put()
        self.store.watch(lambda: calls.append(None))
        self.assertEqual(await self.claim(), ["M1"])

    async def test_outcomes_take_the_place_of_what_waited(self) -> None:
        """record() replaces all recipients at once; new ones may be among them."""
        await self.put("M1", "bob@example.org", "carol@example.net")
        await self.claim()
        left = Pending(
            recipient("dave@example.com", came_from=(Mailbox("carol", "example.net"),)),
            NOW + 60,
            attempts=1,
            last=BUSY,
            remote="mx.example.com",
            warned=True,
        )
        await soon(self.store.record("M1", [left]))
        entry = await soon(self.store.get("M1"))
        self.assertEqual(entry.pending, (left,))
        self.assertFalse(entry.leased)
        self.assertEqual(await self.claim(NOW + 59), [])
        self.assertEqual(await self.claim(NOW + 61), ["M1"])

    async def test_a_lease_survives_a_record_that_keeps_it(self) -> None:
        """record(release=False) leaves the message leased."""
        await self.put("M1", "bob@example.org", "carol@example.net")
        (entry,) = await soon(self.store.claim(NOW, 1, NOW + 100.0))
        await soon(self.store.record("M1", entry.pending[1:], release=False))
        self.assertEqual(await self.claim(), [])
        self.assertEqual((await soon(self.store.get("M1"))).pending, entry.pending[1:])
        await soon(self.store.release(["M1"]))
        self.assertEqual(await self.claim(), ["M1"])

    async def test_a_finished_message_is_gone(self) -> None:
        """record() without remaining recipients removes the message, whatever its size."""
        await self.put("M1")
        await self.put("M2", body=b"x" * 2_000_000)
        await self.claim()
        await soon(self.store.record("M1", []))
        await soon(self.store.record("M2", []))
        self.assertIsNone(await soon(self.store.get("M1")))
        self.assertEqual(await soon(self.store.next_due()), None)
        self.assertEqual((await soon(self.store.counts()))["messages"], 0)

    async def test_what_is_not_there_is_left_alone(self) -> None:
        """record() on a message that was removed meanwhile does nothing."""
        await soon(self.store.record("M1", []))
        await soon(self.store.record("M1", [Pending(recipient(), NOW)]))
        self.assertIsNone(await soon(self.store.get("M1")))

    async def test_excluded_domains_are_left_alone(self) -> None:
        """Messages that wait only for excluded domains are not claimed; the others are."""
        await self.put("M1", "a@dead.example")
        await self.put("M2", "a@dead.example", "b@live.example")
        await self.put("M3", "b@live.example")
        self.assertEqual(sorted(await self.claim(NOW, 9, "dead.example")), ["M2", "M3"])
        self.assertEqual(await self.claim(NOW, 9, "dead.example", "x.example"), [])
        self.assertEqual(await self.claim(NOW, 9), ["M1"])

    async def test_only_due_recipients_count_for_exclusion(self) -> None:
        """A recipient in another domain that is due later brings the message back in time."""
        await self.put("M1", "a@dead.example", "b@live.example", claimed=True)
        dead, live = Recipient(Mailbox("a", "dead.example")), recipient("b@live.example")
        await soon(self.store.record("M1", [Pending(dead, NOW), Pending(live, NOW + 50)]))
        self.assertEqual(await self.claim(NOW + 1, 9, "dead.example"), [])
        self.assertEqual(await self.claim(NOW + 51, 9, "dead.example"), ["M1"])

    async def test_excluded_ones_come_back_when_released(self) -> None:
        """Passing over a message does not hide it from later claims."""
        for number in range(3):
            await self.put(f"D{number}", "a@dead.example")
        await self.put("L1", "a@live.example")
        self.assertEqual(await self.claim(NOW, 1, "dead.example"), ["L1"])
        self.assertEqual(await self.claim(NOW, 9, "dead.example"), [])
        await soon(self.store.release(["L1"]))
        self.assertEqual(await self.claim(NOW, 9, "dead.example"), ["L1"])
        self.assertEqual(sorted(await self.claim(NOW, 9, "other.example")), ["D0", "D1", "D2"])

    async def test_when_something_is_due(self) -> None:
        """next_due() is None, then the earliest due time, then the end of a lease."""
        self.assertIsNone(await soon(self.store.next_due()))
        await self.put()
        self.assertEqual(await soon(self.store.next_due()), NOW)
        await self.claim(NOW)
        self.assertEqual(await soon(self.store.next_due()), NOW + 100)
        await soon(self.store.record("M1", [Pending(recipient(), NOW + 30)]))
        self.assertEqual(await soon(self.store.next_due()), NOW + 30)

    async def test_pages_by_id(self) -> None:
        """find() gives pages in the order of the ids."""
        for number in (3, 1, 4, 0, 2):
            await self.put(f"M{number}")
        first = [entry.id for entry in await soon(self.store.find(limit=2))]
        second = [entry.id for entry in await soon(self.store.find(after="M1", limit=2))]
        rest = [entry.id for entry in await soon(self.store.find(after="M3", limit=2))]
        self.assertEqual((first, second, rest), (["M0", "M1"], ["M2", "M3"], ["M4"]))

    async def test_found_by_address(self) -> None:
        """find() compares whole addresses or whole domains, in any case of letters."""
        await self.put("M1", "Bob@example.org", sender="alice@client.example")
        await self.put("M2", "xbob@sub.example.org", sender="bob@example.org")
        await self.put("M3", "carol@example.net", sender=None)
        for address, expected in (
            ("bob@example.org", ["M1", "M2"]),
            ("@example.org", ["M1", "M2"]),
            ("@SUB.example.org", ["M2"]),
            ("carol@example.net", ["M3"]),
            ("example.net", []),
            ("arol@example.net", []),
        ):
            found = [entry.id for entry in await soon(self.store.find(address=address))]
            self.assertEqual(found, expected, address)

    async def test_found_by_the_time_they_are_due(self) -> None:
        """`due_after` finds messages of which no recipient is due by then, held or not."""
        for number, dues in enumerate(([0], [500], [100, 900], [901], [950])):
            await self.put(f"M{number}", "a@b.example", "c@d.example", claimed=True)
            who = recipient("a@b.example"), recipient("c@d.example")
            left = [Pending(each, NOW + due) for each, due in zip(who, dues, strict=False)]
            await soon(self.store.record(f"M{number}", left))
        await soon(self.store.change(["M4"], "hold", NOW))
        for hold, expected in ((None, ["M3", "M4"]), (False, ["M3"]), (True, ["M4"])):
            found = await soon(self.store.find(hold=hold, due_after=NOW + 900))
            self.assertEqual([entry.id for entry in found], expected)
        found = await soon(self.store.find(after="M1", limit=1, hold=False, due_after=NOW + 99))
        self.assertEqual([entry.id for entry in found], ["M2"])

    async def test_found_bodies_can_be_read(self) -> None:
        """The content of what find() and get() return can be opened."""
        await self.put()
        (entry,) = await soon(self.store.find())
        self.assertEqual(await self.read(entry.message.content), HEADERS + BODY)

    async def test_hold_and_release(self) -> None:
        """A held message is neither claimed nor due until it is released.

        Doing it twice changes nothing.
        """
        await self.put()
        self.assertEqual(await soon(self.store.change(["M1", "no"], "hold", NOW)), ["M1"])
        self.assertEqual(await soon(self.store.change(["M1"], "hold", NOW)), [])
        self.assertEqual(await self.claim(), [])
        self.assertIsNone(await soon(self.store.next_due()))
        self.assertEqual([e.id for e in await soon(self.store.find(hold=True))], ["M1"])
        self.assertEqual(await soon(self.store.find(hold=False)), [])
        self.assertEqual(await soon(self.store.change(["M1"], "release", NOW)), ["M1"])
        self.assertEqual(await self.claim(), ["M1"])

    async def test_held_from_birth(self) -> None:
        """An envelope with a reason to be held is on hold from the commit until it is released."""
        around = envelope("a@b.example", "c@d.example", id="M1", received=NOW, held="suspected")
        draft = self.store.begin(around)
        await soon(draft.write(BODY))
        entry = await soon(draft.commit(around, HEADERS))
        self.assertTrue(entry.hold)
        self.assertEqual(await self.claim(), [])
        [found] = await soon(self.store.find(hold=True))
        self.assertEqual((found.id, found.message.envelope.held), ("M1", "suspected"))
        await soon(self.store.change(["M1"], "release", NOW))
        self.assertEqual(await self.claim(), ["M1"])

    async def test_retry_makes_all_due(self) -> None:
        """ "retry" makes every recipient due at `now`."""
        await self.put("M1", claimed=True)
        await soon(self.store.record("M1", [Pending(recipient(), NOW + 9000, 3, BUSY)]))
        self.assertEqual(await self.claim(NOW), [])
        self.assertEqual(await soon(self.store.change(["M1"], "retry", NOW)), ["M1"])
        (entry,) = await soon(self.store.claim(NOW, 1, NOW + 100.0))
        self.assertEqual(entry.pending, (Pending(recipient(), NOW, 3, BUSY),))

    async def test_a_leased_message_is_retried_or_held_afterwards(self) -> None:
        """Changes to a message that a host is working on take effect when the host has finished."""
        await self.put("M1", claimed=True)
        await self.put("M2", claimed=True)
        self.assertEqual(await soon(self.store.change(["M1"], "retry", NOW)), ["M1"])
        self.assertEqual(await soon(self.store.change(["M2"], "hold", NOW)), ["M2"])
        self.assertEqual(await self.claim(NOW), [])
        for id in ("M1", "M2"):
            await soon(self.store.record(id, [Pending(recipient(), NOW + 9000, 1, BUSY)]))
        self.assertEqual(await self.claim(NOW), ["M1"])
        self.assertEqual(await self.claim(NOW + 9999), ["M1"])

    async def test_delete(self) -> None:
        """ "delete" removes a message, unless a host is working on it."""
        await self.put("M1", claimed=True)
        await self.put("M2", body=b"x" * 2_000_000)
        self.assertEqual(await soon(self.store.change(["M1", "M2"], "delete", NOW)), ["M2"])
        self.assertEqual([entry.id for entry in await soon(self.store.find())], ["M1"])

    async def test_another_verb_is_refused(self) -> None:
        """change() knows four verbs."""
        with self.assertRaises(ValueError):
            await soon(self.store.change(["M1"], "explode", NOW))

    async def test_counts(self) -> None:
        """counts() has the right numbers."""
        await self.put("M1", "a@b.example", "c@d.example")
        await self.put("M2")
        await self.put("M3", claimed=True)
        await soon(self.store.change(["M2"], "hold", NOW))
        self.assertEqual(
            await soon(self.store.counts()),
            {"messages": 3, "recipients": 4, "held": 1, "leased": 1, "corrupt": 0},
        )
        self.assertEqual(list(await soon(self.store.corrupt())), [])

    async def test_many_at_once(self) -> None:
        """Overlapping commits, records and claims are all done."""
        await gatherResults(
            [Deferred.fromCoroutine(self._live(f"M{number:03}")) for number in range(150)]
        )
        self.assertEqual((await soon(self.store.counts()))["messages"], 75)
        self.assertEqual(len(await self.claim(NOW + 60, 200)), 75)

    async def _live(self, id: str) -> None:
        entry = await self.put(id, claimed=True)
        left = [replace(each, due=NOW + 60) for each in entry.pending]
        await soon(self.store.record(id, left if int(id[1:]) % 2 else []))

    async def test_closed_is_closed(self) -> None:
        """After close() nothing can begin; a second close() does no harm."""
        await soon(self.store.close())
        await soon(self.store.close())
        with self.assertRaises(OSError) as caught:
            self.store.begin(envelope("a@b.example", "c@d.example"))
        self.assertEqual(caught.exception.errno, errno.ESHUTDOWN)

    async def test_a_restart_keeps_everything(self) -> None:
        """Another process finds what was committed; leases end in time, or sooner."""
        if not self.durable:
            return
        await self.put("M1", claimed=True)
        await self.put("M2", body=b"y" * 2_000_000)
        await self.put("M3")
        await soon(self.store.change(["M3"], "hold", NOW))
        await self.put("M4", claimed=True)
        await soon(self.store.record("M4", []))
        self.store = await self.reopen(self.store)
        self.assertEqual(sorted(await self.claim(NOW + 10_000)), ["M1", "M2"])
        entry = await soon(self.store.get("M2"))
        self.assertEqual(await self.read(entry.message.content), HEADERS + b"y" * 2_000_000)
        counts = await soon(self.store.counts())
        self.assertEqual((counts["messages"], counts["held"]), (3, 1))

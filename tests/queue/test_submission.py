"""The one door into the queue."""

from __future__ import annotations

import errno

import pytest
from queue_kit import BODY, NO, FullStore, House, octets
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from mailframe.eventual import at_once
from mailframe.message import Status
from mailframe.queue.submission import Submission
from mailframe.testing.hooks import Remembered, compose_hooks, result_of
from mailframe.testing.values import envelope, site
from mailframe_plugins.queue_memory import MemoryQueue, Settings


def test_what_the_host_says_itself_is_delivered_at_once():
    """submit() gives the id; the message is tried with no claim between."""
    house = House()
    around = envelope(None, "bob@far.example", "ann@far.example", id="N1")
    assert result_of(house.scheduler.submission.submit(around, BODY)) == "N1"
    ((message, _),) = house.agent.calls
    assert octets(message) == BODY
    assert message.envelope.received == house.now()
    assert house.queued() == []
    accepted = [event for event in house.told.events if event.verdict == "accepted"]
    (facts,) = [event.facts for event in accepted]
    assert facts["sender"] == "<>"
    assert facts["recipients"] == ["bob@far.example", "ann@far.example"]
    assert facts["size"] == len(BODY)


def test_while_there_is_no_room_it_waits_for_a_claim():
    """And is told of, and claimed soon."""
    house = House(start=False)
    result_of(house.scheduler.submission.submit(envelope("a@b.example", "bob@far.example"), BODY))
    assert house.agent.calls == []
    assert not result_of(house.store.get("M1")).leased
    house.scheduler.startService()
    house.clock.advance(0)
    assert house.agent.delivered == ["bob@far.example"]


def test_when_it_was_received_is_kept():
    """By that it is given up."""
    house = House(start=False)
    around = envelope("a@b.example", "bob@far.example", received=5.0)
    result_of(house.scheduler.submission.submit(around, BODY))
    assert result_of(house.store.get("M1")).created == 5.0


def test_a_full_store_is_said():
    """OSError, and nothing remains or is told."""
    house = House(store=FullStore)
    house.store.full = True
    with pytest.raises(OSError) as full:
        result_of(house.scheduler.submission.submit(envelope("a@b.example", "c@d.example"), BODY))
    assert full.value.errno == errno.ENOSPC
    assert house.told.events == []


def test_nobody_to_send_to_is_an_error():
    """The draft is given up."""
    house = House()
    with pytest.raises(ValueError, match="no recipients"):
        result_of(house.scheduler.submission.submit(envelope("a@b.example"), BODY))
    assert house.store.used == 0


class SlowStore(MemoryQueue):
    """Gives a draft that commits when `gate` fires."""

    def begin(self, envelope):
        return SlowDraft(super().begin(envelope), self.gate)


class SlowDraft:
    def __init__(self, draft, gate):
        self.draft, self.gate = draft, gate
        self.write, self.abort = draft.write, draft.abort

    def commit(self, *arguments):
        return self.gate.addCallback(lambda _: self.draft.commit(*arguments))


def test_it_goes_on_though_nobody_waits():
    """A plugin that drops what submit() gives has sent its mail all the same."""
    house = House(store=SlowStore)
    house.store.gate = Deferred()
    house.scheduler.submission.submit(envelope("a@b.example", "bob@far.example"), BODY)
    assert house.agent.calls == []
    house.store.gate.callback(None)
    assert house.agent.delivered == ["bob@far.example"]


def test_a_scheduler_that_fails_does_not_make_a_commit_fail():
    """What is durable must not be sent again: the failure is logged."""
    store = MemoryQueue(Settings(), site())
    door = Submission(
        hooks=compose_hooks(observers=[Remembered()]),
        store=store,
        now=lambda: 7.0,
        lease=lambda: 60.0,
        hand_over=lambda entry, claimed: [][0],
    )
    around = envelope("a@b.example", "c@d.example", received=7.0)
    with capturedLogs() as logged:
        entry = at_once(door.commit(store.begin(around), around, b""))
    assert entry.leased
    assert any("could not be handed" in event["log_format"] for event in logged)


def test_a_refused_report_of_its_own_is_no_loop():
    """What the null sender's mail meets is not reported to anybody."""
    house = House()
    house.agent.answers["far.example"] = (Status.FAILED, NO)
    result_of(house.scheduler.submission.submit(envelope(None, "bob@far.example"), BODY))
    assert len(house.agent.calls) == 1
    assert house.queued() == []

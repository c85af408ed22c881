"""The scheduler: starts, stops, leases and the clock, on a store in memory and a Clock."""

from __future__ import annotations

import errno
from dataclasses import replace

from queue_kit import BUSY, NO, TIMES, FullStore, House, two_hosts
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, globalLogPublisher

from mailframe.message import Outcome, Status
from mailframe.queue.scheduler import STOP_WAIT
from mailframe.smtp.reply import OK
from mailframe.testing.hooks import result_of
from mailframe.testing.values import envelope
from mailframe_plugins.queue_memory import MemoryQueue


def test_a_fresh_message_is_delivered_at_once_and_forgotten():
    """accept() of a claimed message routes and delivers it; nothing is left in the queue."""
    house = House()
    house.send()
    assert house.agent.delivered == ["bob@far.example"]
    assert house.queued() == []
    assert house.told.verdicts("queue") == ["finished"]
    assert house.reports() == []


def test_what_was_not_claimed_is_found():
    """A message that nobody leased is claimed at once."""
    house = House()
    around = envelope("a@b.example", "bob@far.example", id="M1", received=house.now())
    house.scheduler.accept(house.store.begin(around).commit(around, b""), False)
    assert house.agent.delivered == []
    house.clock.advance(0)
    assert house.agent.delivered == ["bob@far.example"]


def test_what_waited_before_the_start_is_delivered():
    """The queue of yesterday is worked on when the service starts."""
    house = House(start=False)
    house.send()
    assert not house.scheduler.has_room()
    house.scheduler.startService()
    house.clock.advance(0)
    assert house.agent.delivered == ["bob@far.example"]


def test_leases_are_renewed_while_an_agent_works():
    """A delivery that takes long stays ours."""
    house = House(agent_timeout=4000.0)
    slow = house.agent.answers["far.example"] = Deferred()
    house.send()
    house.wait(1500, 30.0)
    assert result_of(house.store.claim(house.now(), 10, house.now() + 1.0)) == []
    _, routes = house.agent.calls[0]
    assert len(house.agent.calls) == 1
    slow.callback([Outcome(routes[0].recipient, Status.RELAYED, OK)])


def test_stopping_waits_for_what_is_under_way():
    """stopService() fires when the running attempts have ended."""
    house = House()
    slow = house.agent.answers["far.example"] = Deferred()
    house.send()
    stopped = house.scheduler.stopService()
    assert not stopped.called
    assert not house.scheduler.has_room()
    _, routes = house.agent.calls[0]
    slow.callback([Outcome(routes[0].recipient, Status.RELAYED, OK)])
    assert stopped.called
    assert house.queued() == []
    assert house.clock.getDelayedCalls() == []


def test_stopping_does_not_wait_for_ever():
    """What does not end is cut off; its lease is given back and nothing was counted."""
    house = House()
    house.agent.answers["far.example"] = Deferred()
    house.send()
    stopped = house.scheduler.stopService()
    house.clock.advance(STOP_WAIT)
    assert stopped.called
    entry = result_of(house.store.get("M1"))
    assert not entry.leased
    assert entry.pending[0].attempts == 0
    assert house.clock.getDelayedCalls() == []


def test_after_the_stop_messages_stay_in_the_queue():
    """A session that commits late leaves its message for the next start."""
    house = House()
    house.scheduler.stopService()
    around = envelope("a@b.example", "bob@far.example", id="M1", received=house.now())
    entry = house.store.begin(around).commit(around, b"", house.now() + 300)
    house.scheduler.accept(entry, True)
    assert not result_of(house.store.get("M1")).leased
    assert house.agent.calls == []


def test_those_waiting_for_a_turn_are_let_go_at_the_stop():
    """What waits for a busy destination stops waiting; nothing of it is counted."""
    house = House(replace(TIMES, per_destination=1))
    house.agent.answers["far.example"] = Deferred()
    for number in range(3):
        house.send(id=f"M{number}")
    house.send("a@far.example", "b@near.example", id="M3")
    stopped = house.scheduler.stopService()
    house.clock.advance(STOP_WAIT)
    assert stopped.called
    assert house.queued() == ["M0", "M1", "M2", "M3"]
    assert result_of(house.store.counts())["leased"] == 0
    assert [str(each.recipient.address) for each in house.pending("M3")] == ["a@far.example"]


def test_a_stop_while_routes_are_asked():
    """A router that is slow is not waited for."""
    house = House()
    house.router.answers["far.example"] = Deferred()
    house.send()
    stopped = house.scheduler.stopService()
    house.clock.advance(STOP_WAIT)
    assert stopped.called
    assert house.pending()[0].attempts == 0


def test_a_stop_while_the_store_cannot_record():
    """The outcome is given up; the lease runs out, and it is tried again later."""
    house = House(store=FullStore)
    store = house.store
    store.broken = True
    house.send()
    stopped = house.scheduler.stopService()
    house.clock.advance(STOP_WAIT)
    assert stopped.called
    assert house.queued() == ["M1"]


def test_leases_that_were_lost_are_told():
    """Whoever took a message over may deliver it, too: the log says so."""
    said = []
    house = House(agent_timeout=4000.0)
    house.agent.answers["far.example"] = Deferred()
    house.send()
    house.store.release(["M1"])
    house.store.change(["M1"], "delete", house.now())
    globalLogPublisher.addObserver(said.append)
    try:
        house.wait(101)
    finally:
        globalLogPublisher.removeObserver(said.append)
    assert any("no longer ours" in event["log_format"] for event in said)


def test_leases_that_cannot_be_renewed_do_no_harm():
    """A store's failure at renewal is logged, and tried again."""

    class Forgetful(MemoryQueue):
        def renew(self, ids, until):
            raise OSError(errno.EIO, "no")

    house = House(store=Forgetful, agent_timeout=4000.0)
    slow = house.agent.answers["far.example"] = Deferred()
    house.send()
    house.wait(250, 50)
    _, routes = house.agent.calls[0]
    slow.callback([Outcome(routes[0].recipient, Status.RELAYED, OK)])
    assert house.queued() == []


def test_a_lease_from_birth_is_as_long_as_any():
    """`lease = "1h"`: another host does not take the message while it is being tried."""
    one, other = two_hosts(replace(TIMES, lease=3600.0), agent_timeout=9000.0)
    slow = one.agent.answers["far.example"] = Deferred()
    one.send()
    one.wait(1100.0, 10.0)  # no renewal yet
    other.scheduler.look()
    one.clock.advance(0)
    assert other.agent.calls == []
    _, routes = one.agent.calls[0]
    slow.callback([Outcome(routes[0].recipient, Status.RELAYED, OK)])
    assert one.queued() == other.queued() == []


def test_another_host_is_woken_by_what_it_may_take():
    """Mail that one host has no room for is tried by the other at once, not in a minute."""
    one, other = two_hosts(replace(TIMES, active=1))
    slow = one.agent.answers["far.example"] = Deferred()
    one.send()
    one.send("ann@near.example", id="M2")
    one.clock.advance(0)
    assert other.agent.delivered == ["ann@near.example"]
    _, routes = one.agent.calls[0]
    slow.callback([Outcome(routes[0].recipient, Status.RELAYED, OK)])


def test_what_somebody_else_took_is_dropped():
    """A host that slept through its lease records nothing over what the other one does."""
    one, other = two_hosts(agent_timeout=9000.0)
    one.scheduler._renewal.stop()
    one.scheduler._claiming.stop()
    slow = one.agent.answers["far.example"] = Deferred()
    other.agent.answers["far.example"] = (Status.DEFERRED, BUSY, "mx")
    one.send()
    one.wait(330.0, 10.0)
    assert len(other.agent.calls) == 1
    _, routes = one.agent.calls[0]
    with capturedLogs() as logged:
        slow.callback([Outcome(routes[0].recipient, Status.FAILED, NO)])
    (pending,) = one.pending()
    assert (pending.attempts, pending.last) == (1, BUSY)
    # Nobody is told of a failure of what may yet be delivered.
    assert one.told.verdicts("queue") == ["failed", "lease lost"]
    assert sum("no longer ours" in event["log_format"] for event in logged) == 1
    other.agent.answers.clear()
    one.wait(600.0)
    assert one.queued() == []


def test_a_lease_lost_at_its_renewal_ends_the_attempt():
    """What waits for a turn is not delivered a second time."""
    one, other = two_hosts(replace(TIMES, per_destination=1), agent_timeout=9000.0)
    one.agent.answers["far.example"] = Deferred()
    one.send(id="M1")
    one.send(id="M2")
    assert len(one.agent.calls) == 1
    one.store.release(["M2"])
    assert [entry.id for entry in other.store.claim(one.now(), 9, one.now() + 9000.0)] == ["M2"]
    one.wait(101.0)
    assert one.told.verdicts("queue") == ["lease lost"]
    stopped = one.scheduler.stopService()
    one.clock.advance(STOP_WAIT)
    assert stopped.called
    assert [message.id for message, _ in one.agent.calls] == ["M1"]
    assert result_of(other.store.get("M2")).leased


def test_a_lease_that_is_being_given_back_was_not_lost():
    """A renewal beside the last record finds nothing to renew, and says nothing."""

    class Slow(MemoryQueue):
        gate = None

        def record(self, id, pending, release=True):
            super().record(id, pending, release)
            self.gate = Deferred()
            return self.gate

    house = House(store=Slow)
    house.send()
    house.wait(101.0)
    house.store.gate.callback(None)
    assert house.told.verdicts("queue") == ["finished"]


def test_it_can_be_started_again():
    """After a stop, with what waits then."""
    house = House()
    house.agent.answers["far.example"] = Deferred()
    house.send()
    stopped = house.scheduler.stopService()
    house.clock.advance(STOP_WAIT)
    assert stopped.called
    house.agent.answers.clear()
    house.scheduler.startService()
    house.clock.advance(0)
    assert house.agent.delivered == ["bob@far.example"]
    assert result_of(house.scheduler.stopService()) is None

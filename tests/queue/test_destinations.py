"""How much one place gets at once, and when it is left alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from queue_kit import BUSY, TIMES, House
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.logger import capturedLogs
from zope.interface import directlyProvides

from mailframe.interfaces import IBatchingAgent, IPausingAgent
from mailframe.message import NextHop, Outcome, Route, Status
from mailframe.queue import destinations
from mailframe.queue.destinations import Destinations, Entrance
from mailframe.queue.parcels import parcels_of
from mailframe.queue.scheduler import Scheduler
from mailframe.settings import BounceSettings
from mailframe.smtp.reply import OK, Reply
from mailframe.testing.hooks import result_of
from mailframe.testing.values import envelope, recipient


def test_a_destination_gets_so_many_at_once():
    """per_destination bounds what runs; others are not kept waiting; all arrives in the end."""
    house = House(replace(TIMES, per_destination=2, active=500))
    running = []

    def deliver(message, routes):
        if routes[0].recipient.address.domain != "slow.example":
            return [Outcome(routes[0].recipient, Status.RELAYED, OK)]
        done = Deferred()
        running.append((done, routes[0].recipient))
        return done

    house.agent.deliver = deliver
    for number in range(150):
        house.send("u@slow.example", id=f"S{number:03}")
    house.send("u@quick.example", id="Q")
    assert len(running) == 2
    assert "Q" not in house.queued()
    seconds = 0
    while running and seconds < 300:
        done, who = running.pop(0)
        done.callback([Outcome(who, Status.RELAYED, OK)])
        assert len(running) <= 2
        house.clock.advance(0.1)
        seconds += 1
    assert house.queued() == []
    # Most were never in the window: it takes the freed places at once, not once a second.
    assert seconds == 150


def test_an_agent_may_take_more_at_once():
    """What an IBatchingAgent says goes before per_destination."""
    house = House(replace(TIMES, per_destination=2), start=False)
    directlyProvides(house.agent, IBatchingAgent)
    house.agent.at_once = 5
    again = Scheduler(
        hooks=house.hooks,
        store=house.store,
        hostname="mx.example.org",
        times=replace(TIMES, per_destination=2),
        bounces=BounceSettings(),
        reactor=house.clock,
        now=house.now,
        chance=lambda: 0.0,
        in_thread=maybeDeferred,
    )
    again.startService()
    house.clock.advance(0)
    house.scheduler = again
    house.agent.answers["far.example"] = Deferred()
    for number in range(8):
        house.send("u@far.example", id=f"M{number}")
    assert len(house.agent.calls) == 5


def test_a_busy_place_for_part_of_a_domain_does_not_stop_the_rest():
    """Where a domain's mail goes to several places, the busy one's waits a moment outside."""
    house = House(replace(TIMES, per_destination=1, active=500))
    house.router.answers["vip@far.example"] = Route("smtp", next_hop=NextHop("other.example"))
    house.agent.answers["bob@far.example"] = Deferred()
    house.send("bob@far.example", id="A0")
    house.send("vip@far.example", id="A1")
    for number in range(60):
        house.send("bob@far.example", id=f"B{number:02}")
    turned_away = [
        entry for entry in result_of(house.store.find()) if entry.pending[0].due > house.now()
    ]
    assert len(turned_away) == 10
    assert all(entry.pending[0].attempts == 0 for entry in turned_away)


def test_a_dead_host_does_not_starve_the_others():
    """Thousands that wait for one dead host leave the window to the living."""
    house = House(replace(TIMES, active=20))
    dead = (Status.DEFERRED, Reply(451, "Connection timed out", "4.4.1"))
    house.agent.answers["dead.example"] = dead
    for number in range(3000):
        around = envelope("a@b.example", "u@dead.example", id=f"D{number:04}", received=house.now())
        house.store.begin(around).commit(around, b"")
    for number in range(100):
        around = envelope("a@b.example", "u@live.example", id=f"L{number:04}", received=house.now())
        house.store.begin(around).commit(around, b"")
    house.scheduler.look()
    house.clock.advance(0.1)
    assert len(house.agent.delivered) == 100
    tried = sum(routes[0].recipient.address.domain == "dead.example"
                for _, routes in house.agent.calls)  # fmt: skip
    assert tried <= 3
    house.wait(20, 1.0)
    # None is lost, and the host gets one probe at a time.
    assert len(house.queued()) == 100
    house.agent.answers.clear()
    house.wait(3600, 5.0)
    assert result_of(house.store.counts())["messages"] == 0
    assert house.reports() == []


def test_what_is_too_old_bounces_though_its_host_is_down():
    """Mail for a place that is left alone is given up in time."""
    house = House(replace(TIMES, active=20, give_up_after=600.0, warn_after=None))
    house.agent.answers["dead.example"] = (
        Status.DEFERRED,
        Reply(451, "Connection timed out", "4.4.1"),
    )
    for number in range(200):
        house.send("u@dead.example", id=f"D{number:04}")
    house.wait(900, 1.0)
    assert house.queued() == []
    assert len(house.reports()) == 200
    attempts = len(house.agent.calls) - 200
    assert attempts < 60


def test_a_reply_of_the_host_is_no_reason_to_leave_it_alone():
    """Only places that cannot be reached are marked down: greylisting hosts are not."""
    house = House()
    house.agent.answers["far.example"] = (Status.DEFERRED, BUSY, "mx.far.example")
    for number in range(10):
        house.send(id=f"M{number}")
    assert len(house.agent.calls) == 10


def test_a_place_that_answers_again_is_forgiven():
    """One success, and the place is as good as any."""
    house = House()
    house.agent.answers["far.example"] = (Status.DEFERRED, BUSY)
    for number in range(4):
        house.send(id=f"M{number}")
    assert len(house.agent.calls) == 3
    house.agent.answers.clear()
    house.wait(120, 1.0)
    assert house.queued() == []
    house.send(id="N1")
    assert house.queued() == []


def test_an_operator_may_insist():
    """look() forgets that places are down: `queue retry` tries at once."""
    house = House()
    house.agent.answers["far.example"] = (Status.DEFERRED, BUSY)
    for number in range(4):
        house.send(id=f"M{number}")
    house.agent.answers.clear()
    house.store.change([f"M{number}" for number in range(4)], "retry", house.now())
    house.scheduler.look()
    house.clock.advance(1)
    house.wait(5, 1.0)
    assert len(house.agent.delivered) >= 1


def test_agents_forget_their_pauses_too():
    """look() has an agent dial at once what it had left alone, and a fault in that is no harm."""
    house = House()
    directlyProvides(house.agent, IPausingAgent)
    house.agent.answers["far.example"] = (Status.DEFERRED, BUSY)
    house.send()
    house.agent.forget_pauses = house.agent.answers.clear
    house.store.change(["M1"], "retry", house.now())
    house.scheduler.look()
    house.clock.advance(1)
    assert house.agent.delivered == ["bob@far.example"]

    house.agent.forget_pauses = None
    house.agent.answers["far.example"] = (Status.DEFERRED, BUSY)
    house.send(id="M2")
    house.agent.answers.clear()
    house.store.change(["M2"], "retry", house.now())
    with capturedLogs() as logs:
        house.scheduler.look()
    house.clock.advance(1)
    assert house.queued() == []
    assert [each["name"] for each in logs if "log_failure" in each] == ["smtp"]


def test_places_that_are_forgotten(monkeypatch):
    """What is known of dead places is bounded."""
    monkeypatch.setattr(destinations, "MAX_DOMAINS", 5)
    house = House()
    for number in range(30):
        domain = f"d{number}.example"
        house.agent.answers[domain] = (Status.DEFERRED, BUSY)
        house.send(f"u@{domain}", id=f"M{number:02}")
    assert len(house.scheduler._destinations._by_place) <= 6
    assert len(house.scheduler._destinations._homes) <= 5


@pytest.mark.parametrize("limit", [1, 100, 200, 300])
def test_turns_are_handed_on_however_many_there_are(limit):
    """All fail at once, those that wait too; when the host is back all is delivered."""
    house = House(replace(TIMES, per_destination=limit, active=700))
    answer, running = house.agent.deliver, []
    unreachable = Reply(451, "Connection timed out", "4.4.1")

    def deliver(message, routes):
        if house.agent.answers:
            return answer(message, routes)
        running.append((Deferred(), routes[0].recipient))
        return running[-1][0]

    house.agent.deliver = deliver
    with capturedLogs() as logged:
        for number in range(300):
            house.send("u@far.example", id=f"M{number:03}")
        house.agent.answers["far.example"] = (Status.DEFERRED, unreachable)
        for done, who in running:
            done.callback([Outcome(who, Status.DEFERRED, unreachable)])
        assert len(running) == limit
        house.wait(60, 1.0)
        house.agent.answers["far.example"] = (Status.RELAYED, OK)
        house.wait(7200, 10.0)
    assert not [event for event in logged if "log_failure" in event]
    assert house.queued() == []
    assert house.scheduler._destinations._by_place == {}


def places(freed=lambda: None, **times):
    return Destinations(replace(TIMES, **times), lambda: 0.0, freed, {"smtp": None})


def parcel_to(host="far.example"):
    (parcel,) = parcels_of([Route("smtp", recipient(), next_hop=NextHop(host))])
    return parcel


def test_a_turn_that_is_cancelled_while_it_is_given_goes_to_the_next():
    """Nobody's place is lost, and nobody has two."""
    found = places(per_destination=1)
    parcel = parcel_to()
    assert found.enter(parcel, "M") is Entrance.OPEN
    first, second, third = (found.enter(parcel, "M") for _ in range(3))
    order = []

    def leave(name, cancel=None):
        order.append(name)
        found.leave(parcel, "M", None)
        if cancel is not None:
            cancel.cancel()

    first.addCallback(lambda _: leave("first", cancel=second))
    second.addErrback(lambda failure: failure.trap(CancelledError))
    third.addCallback(lambda _: leave("third"))
    found.leave(parcel, "M", None)
    assert order == ["first", "third"]
    assert found.enter(parcel, "M") is Entrance.OPEN
    found.leave(parcel, "M", None)
    assert found._by_place == {}


def test_a_turn_that_is_not_wanted_any_more_is_forgotten():
    """Cancelled while it waits: the others keep theirs."""
    found = places(per_destination=1)
    parcel = parcel_to()
    found.enter(parcel, "M")
    first, second = found.enter(parcel, "M"), found.enter(parcel, "M")
    first.addErrback(lambda failure: failure.trap(CancelledError))
    first.cancel()
    found.leave(parcel, "M", None)
    assert second.called


def test_failures_of_one_moment_pause_once():
    """Twenty deliveries that break together are one failure of the host, not twenty pauses."""
    house = House(replace(TIMES, per_destination=20, active=100))
    running = []

    def deliver(message, routes):
        done = Deferred()
        running.append((done, routes[0].recipient))
        return done

    house.agent.deliver = deliver
    for number in range(20):
        house.send("u@far.example", id=f"M{number:02}")
    assert len(running) == 20
    lost = Reply(451, "Lost", "4.4.2")
    for done, who in running:
        done.callback([Outcome(who, Status.DEFERRED, lost)])
    [row] = [row for row in house.scheduler.state() if row.get("host") == "far.example"]
    assert row["failures"] == 3 and row["down_for"] <= 30

"""Nobody takes the window from the others: not slow places, not their number, not an agent."""

from __future__ import annotations

from dataclasses import replace

import pytest
from queue_kit import TIMES, House
from twisted.internet.defer import Deferred
from zope.interface import directlyProvides

from mailframe.hooks import Bound
from mailframe.interfaces import IBatchingAgent, IDeliveryAgent
from mailframe.message import NextHop, Outcome, Route, Status
from mailframe.queue import destinations
from mailframe.queue.shares import Shares
from mailframe.smtp.reply import OK, Reply
from mailframe.testing.values import envelope, mailbox

LOST = Reply(451, "Lost", "4.4.2")
TOO_MANY = Reply(421, "Too many sessions", "4.7.0")


class Local:
    """A store of mailboxes beside the agent for other hosts; hangs if it is told to."""

    def __init__(self):
        self.delivered = []
        self.hangs = False
        self.calls = 0
        directlyProvides(self, IDeliveryAgent)

    def deliver(self, message, routes):
        self.calls += 1
        if self.hangs:
            return Deferred()
        self.delivered += [str(route.recipient.address) for route in routes]
        return [Outcome(route.recipient, Status.DELIVERED, OK) for route in routes]


def house_with(*names, times=TIMES):
    """Agents of these names besides "smtp"; NAME.example is theirs."""
    house = House(times, agents={name: Bound("deliver", name, Local()) for name in names})
    for name in names:
        own = Route(name, mailbox=mailbox(f"bob@{name}.example"))
        house.router.answers[f"{name}.example"] = own
    return house


def hang(house, domain):
    house.agent.answers[domain] = Deferred()


def flood(house, domain, messages):
    for number in range(messages):
        house.send(f"u{number}@{domain}", id=f"{domain}{number:04}")


@pytest.mark.parametrize("tarpits", [3, 40, 500])
def test_slow_places_do_not_keep_local_mail(tarpits):
    """However many hosts take mail and say nothing, the local message is there within 2 s."""
    house = house_with("maildir")
    for number in range(tarpits):
        hang(house, f"tar{number}.example")
        flood(house, f"tar{number}.example", 75 if tarpits < 10 else 3)
    house.send("bob@maildir.example", id="L")
    house.wait(2, 0.1)
    assert "L" not in house.queued()
    assert house.scheduler._window.free > 0


def test_slow_places_do_not_keep_mail_for_other_hosts():
    """Ten tarpits leave connections to a host that works."""
    house = house_with("maildir")
    for number in range(10):
        hang(house, f"tar{number}.example")
        flood(house, f"tar{number}.example", 75)
    flood(house, "quick.example", 20)
    house.wait(2, 0.1)
    assert len(house.agent.delivered) == 20


def test_a_hung_store_for_many_domains_does_not_keep_mail_for_other_agents():
    """One LMTP server for a thousand domains stands still: the others' share is theirs."""
    house = house_with("maildir", "lmtp")
    lmtp = house.hooks.agents["lmtp"].plugin
    lmtp.hangs = True
    for number in range(1000):
        domain = f"d{number}.example"
        house.router.answers[domain] = Route("lmtp", mailbox=mailbox(f"bob@{domain}"))
        house.send(f"bob@{domain}", id=f"H{number:04}")
    house.send("bob@maildir.example", id="L")
    flood(house, "quick.example", 5)
    house.wait(2, 0.1)
    assert "L" not in house.queued()
    assert len(house.agent.delivered) == 5
    assert lmtp.calls <= 200


def test_what_was_kept_out_is_delivered_when_there_is_room():
    """None is forgotten: when the hung store answers again, all of it goes there."""
    house = house_with("maildir", "lmtp", times=replace(TIMES, active=40, attempt_timeout=5.0))
    lmtp = house.hooks.agents["lmtp"].plugin
    lmtp.hangs = True
    for number in range(100):
        domain = f"d{number}.example"
        house.router.answers[domain] = Route("lmtp", mailbox=mailbox(f"bob@{domain}"))
        house.send(f"bob@{domain}", id=f"H{number:04}")
    house.wait(10, 0.5)
    lmtp.hangs = False
    house.wait(600, 1.0)
    assert house.queued() == []
    assert house.scheduler._destinations._by_place == {}


def test_a_batching_agent_may_have_the_rest_of_the_window():
    """Its places share what they are given: they are not held to a part of what is free."""
    house = house_with("maildir")
    directlyProvides(house.hooks.agents["maildir"].plugin, IBatchingAgent)
    local = house.hooks.agents["maildir"].plugin
    local.at_once, local.hangs = 1000, True
    house = House(agents={"maildir": Bound("deliver", "maildir", local)})
    house.router.answers["maildir.example"] = Route("maildir", mailbox=mailbox("b@maildir.example"))
    flood(house, "maildir.example", 300)
    house.wait(1, 0.1)
    assert local.calls == 175


def test_a_message_to_many_hosts_counts_once():
    """A list's message holds one slot, however many parcels it has."""
    house = house_with("maildir", times=replace(TIMES, active=20))
    house.agent.deliver = lambda message, routes: house.agent.calls.append(routes) or Deferred()
    house.send(*[f"u@d{number}.example" for number in range(300)], id="M1")
    house.clock.advance(0.1)
    assert len(house.agent.calls) == 300
    house.send("bob@maildir.example", id="L")
    assert "L" not in house.queued()


def test_shares_of_the_window():
    """A quarter is kept in equal parts; the rest is for whoever comes first."""
    shares = Shares(200, ["smtp", "maildir"])
    assert (shares.kept, shares.free("smtp")) == (25, 175)
    for number in range(175):
        shares.enter("smtp", f"M{number}")
    assert (shares.free("smtp"), shares.free("maildir")) == (0, 25)
    shares.enter("smtp", "M0")
    shares.leave("smtp", "M0")
    assert shares.holds("smtp", "M0")
    shares.leave("smtp", "M0")
    assert not shares.holds("smtp", "M0")
    assert (shares.free("smtp"), shares.free("maildir")) == (1, 26)
    assert Shares(200, ["smtp"]).free("smtp") == 200


def test_more_domains_than_are_remembered_do_not_go_round(monkeypatch):
    """What is turned away and cannot be left out of claims is out of the way for a moment."""
    monkeypatch.setattr(destinations, "MAX_DOMAINS", 5)
    house = House(replace(TIMES, active=10), agent_timeout=3600.0)
    for number in range(200):
        domain = f"d{number}.example"
        house.router.answers[domain] = Route("smtp", next_hop=NextHop("relay.example"))
        hang(house, domain)
        around = envelope("a@b.example", f"u@{domain}", id=f"M{number:03}", received=house.now())
        house.store.begin(around).commit(around, b"")
    claims, claim = [], house.store.claim

    def counting(*arguments):
        claims.append(arguments)
        assert len(claims) < 1000
        return claim(*arguments)

    house.store.claim = counting
    house.scheduler.look()
    house.clock.advance(0)
    assert len(house.agent.calls) >= 5
    assert len(claims) < 100


class Host:
    """Takes so many sessions at a time and says 421 to more; `end` ends the oldest."""

    def __init__(self, house, most, reply=TOO_MANY, **more):
        self.most, self.reply, self.more = most, reply, more
        self.open, self.refused = [], 0
        house.agent.deliver = self.deliver

    def deliver(self, message, routes):
        to = routes[0].recipient
        if len(self.open) >= self.most:
            self.refused += 1
            return [Outcome(to, Status.DEFERRED, self.reply, "mx.far.example", **self.more)]
        self.open.append((Deferred(), to))
        return self.open[-1][0]

    def end(self):
        done, to = self.open.pop(0)
        done.callback([Outcome(to, Status.RELAYED, OK, "mx.far.example")])


@pytest.mark.parametrize(
    ("reply", "more"),
    [(TOO_MANY, {}), (Reply(451, "Not now", "4.7.0"), {"no_session": True})],
)
def test_a_host_that_takes_ten_sessions_gets_ten(reply, more):
    """What it refuses waits for one of those that work, and is not put off by the schedule."""
    house = House()
    host = Host(house, 10, reply, **more)
    for number in range(200):
        house.send("u@far.example", id=f"M{number:03}")
    assert len(host.open) == 10
    while host.open:
        host.end()
        house.clock.advance(0.01)
    # All of it at once: nothing waited for the schedule's first minute.
    assert house.queued() == []
    assert host.refused <= 40


def test_a_host_that_takes_no_session_is_left_alone():
    """Refusals before MAIL count like a host that cannot be reached."""
    house = House()
    host = Host(house, 0, Reply(451, "Go away", "4.7.1"), no_session=True)
    for number in range(200):
        house.send("u@far.example", id=f"M{number:03}")
        house.clock.advance(0.01)
    assert host.refused <= 3
    house.wait(3600, 1.0)
    assert host.refused <= 20
    host.most = 1000
    for _ in range(900):
        house.wait(10, 5.0)
        while host.open:
            host.end()
    assert house.queued() == []


def test_sessions_that_come_together_and_are_refused_together_end_the_rush():
    """Twenty at once, all refused: one more each, then the place is left alone."""
    house = House()
    running = []

    def deliver(message, routes):
        running.append((Deferred(), routes[0].recipient))
        return running[-1][0]

    house.agent.deliver = deliver
    for number in range(20):
        house.send("u@far.example", id=f"M{number:03}")
    calls = 0
    while running:
        done, to = running.pop(0)
        calls += 1
        done.callback([Outcome(to, Status.DEFERRED, TOO_MANY, "mx.far.example")])
    assert calls <= 63
    [row] = [row for row in house.scheduler.state() if row.get("host") == "far.example"]
    assert row["down_for"]


def test_a_probe_that_hangs_is_not_waited_for():
    """A host that is back takes mail though the message that tried it first still hangs."""
    house = House(agent_timeout=3600.0)
    house.agent.answers["far.example"] = (Status.DEFERRED, LOST)
    for number in range(30):
        house.send("u@far.example", id=f"M{number:02}")
    assert len(house.agent.calls) == 3
    hang(house, "far.example")
    while len(house.agent.calls) == 3:
        house.wait(1, 1.0)
    house.agent.answers.clear()
    house.wait(50, 1.0)
    assert house.agent.delivered == []
    house.wait(20, 1.0)
    assert len(house.agent.delivered) >= 20


def test_insisting_on_one_message_is_not_insisting_on_all():
    """`queue retry` of one message tries its place; others that are down rest on."""
    house = House()
    for domain in ("one.example", "two.example"):
        house.agent.answers[domain] = (Status.DEFERRED, LOST)
        flood(house, domain, 4)
    said = house.scheduler.look({"one.example", "three.example"})
    assert said == {"one.example": f"smtp to one.example: {LOST}"}
    rows = {row["host"]: row for row in house.scheduler.state() if "host" in row}
    assert rows["one.example"]["down_for"] == 0
    assert rows["two.example"]["down_for"] > 0
    house.router.answers["x@two.example"] = Route("smtp", next_hop=NextHop("three.example"))
    house.send("x@two.example", id="X")
    house.scheduler.look({"two.example"})
    rows = {row["host"]: row for row in house.scheduler.state() if "host" in row}
    assert rows["two.example"]["down_for"] == 0

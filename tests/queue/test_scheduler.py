"""The scheduler, on a store in memory and a Clock, with agents that do as they are told."""

from __future__ import annotations

import email
import errno
import io
from dataclasses import replace

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer

from mailframe.hooks import Bound
from mailframe.interfaces import IBatchingAgent, IDeliveryAgent, IRouter
from mailframe.message import NextHop, Outcome, Redirect, Route, Status
from mailframe.plugin import Size
from mailframe.queue import destinations
from mailframe.queue import scheduler as module
from mailframe.queue.scheduler import Scheduler
from mailframe.settings import BounceSettings, QueueTimes
from mailframe.smtp.address import Mailbox
from mailframe.smtp.reply import OK, Reply
from mailframe.testing.hooks import Remembered, compose_hooks, result_of
from mailframe.testing.values import envelope, mailbox, recipient, site
from mailframe_plugins.queue_memory import MemoryQueue, Settings

BUSY = Reply(451, "Greylisted", "4.7.1")
NO = Reply(550, "No such user", "5.1.1")
TIMES = QueueTimes(jitter=0.0)
BODY = b"Subject: hello\r\n\r\nHello there.\r\n"


@implementer(IRouter)
class Routers:
    """Answers by address, or by domain; else a host of the recipient's domain."""

    def __init__(self):
        self.answers = {}
        self.asked = []

    def route(self, envelope, recipient):
        self.asked.append(str(recipient.address))
        address = recipient.address
        answer = self.answers.get(str(address), self.answers.get(address.domain))
        if answer is None:
            return Route("smtp", next_hop=NextHop(address.domain))
        return answer


@implementer(IDeliveryAgent)
class Agent:
    """Answers by address or domain with a status and a reply, or what `answer` gives."""

    def __init__(self):
        self.answers = {}
        self.calls = []
        self.delivered = []

    def deliver(self, message, routes):
        self.calls.append((message, list(routes)))
        outcomes = []
        for route in routes:
            address = route.recipient.address
            answer = self.answers.get(str(address), self.answers.get(address.domain))
            if isinstance(answer, Deferred | Exception):
                if isinstance(answer, Exception):
                    raise answer
                return answer
            status, reply, *more = answer or (Status.RELAYED, OK)
            if status in (Status.RELAYED, Status.DELIVERED):
                self.delivered.append(str(address))
            outcomes.append(Outcome(route.recipient, status, reply, *more))
        return outcomes


class House:
    """A scheduler with everything around it."""

    def __init__(self, times=TIMES, bounces=None, store=None, start=True, agent_timeout=30.0):
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.offset = 0.0
        self.router, self.agent, self.told = Routers(), Agent(), Remembered()
        self.store = (store or MemoryQueue)(Settings(), site(reactor=self.clock, now=self.now))
        self.hooks = compose_hooks(
            routes=[self.router],
            agents={"smtp": Bound("deliver", "smtp", self.agent, timeout=agent_timeout)},
            observers=[self.told],
            store=self.store,
            reactor=self.clock,
            now=self.now,
        )
        self.scheduler = Scheduler(
            hooks=self.hooks,
            store=self.store,
            hostname="mx.example.org",
            times=times,
            bounces=bounces or BounceSettings(),
            reactor=self.clock,
            now=self.now,
        )
        if start:
            self.scheduler.startService()
            self.clock.advance(0)

    def now(self):
        return self.clock.seconds() + self.offset

    def send(self, *to, id="M1", sender="alice@client.example", body=BODY, **more):
        around = envelope(sender, *(to or ("bob@far.example",)), id=id, **more)
        draft = self.store.begin(around)
        draft.write(body)
        claimed = self.scheduler.has_room()
        entry = result_of(draft.commit(around, b"Received: x\r\n", claimed=claimed))
        self.scheduler.accept(entry, claimed)

    def wait(self, seconds, step=60.0):
        while seconds > 0:
            self.clock.advance(min(step, seconds))
            seconds -= step

    def queued(self):
        return [entry.id for entry in result_of(self.store.find())]

    def pending(self, id="M1"):
        return result_of(self.store.get(id)).pending

    def reports(self):
        """(recipient, parsed) of every report given to the agent."""
        return [
            (str(routes[0].recipient.address), email.message_from_bytes(_octets(message)))
            for message, routes in self.agent.calls
            if message.envelope.sender is None
        ]


def _octets(message):
    with message.content.open() as file:
        return file.read()


def _status(report):
    """The per-recipient fields of a report, a dict for each."""
    blocks = report.get_payload(1).get_payload()
    return [dict(block.items()) for block in blocks[1:]]


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
    around = envelope("a@b.example", "bob@far.example", id="M1")
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


def test_deferred_mail_waits_by_the_schedule():
    """1 m, 5 m, 15 m after one another; the routes are asked anew each time."""
    house = House()
    house.agent.answers["far.example"] = (Status.DEFERRED, BUSY, "mx.far.example")
    house.send()
    start = house.now()
    times = []
    for _ in range(3):
        before = len(house.agent.calls)
        while len(house.agent.calls) == before:
            house.clock.advance(1)
        times.append(house.now() - start)
    assert times == [60, 360, 1260]
    (pending,) = house.pending()
    assert (pending.attempts, pending.last, pending.remote) == (4, BUSY, "mx.far.example")
    assert len(house.router.asked) == 4
    house.agent.answers.clear()
    house.wait(3600)
    assert house.queued() == []


def test_the_agent_may_ask_for_a_longer_wait():
    """Outcome.retry_after is honoured."""
    house = House()
    house.agent.answers["far.example"] = (Status.DEFERRED, BUSY, "mx.far.example", 1800.0)
    house.send()
    assert house.pending()[0].due == house.now() + 1800


def test_recipients_share_a_delivery_by_agent_and_next_hop():
    """One call for each destination, with all its recipients."""
    house = House()
    house.send("a@far.example", "b@near.example", "c@far.example")
    routed = [
        sorted(str(route.recipient.address) for route in routes) for _, routes in house.agent.calls
    ]
    assert sorted(routed) == [["a@far.example", "c@far.example"], ["b@near.example"]]


def test_outcomes_are_recorded_per_recipient():
    """One delivered, one deferred, one failed: one waits on, the sender hears of one."""
    house = House()
    house.agent.answers["b@far.example"] = (Status.DEFERRED, BUSY, "mx")
    house.agent.answers["c@far.example"] = (Status.FAILED, NO, "mx.far.example")
    house.send("a@far.example", "b@far.example", "c@far.example")
    assert [str(each.recipient.address) for each in house.pending()] == ["b@far.example"]
    ((to, report),) = house.reports()
    assert to == "alice@client.example"
    (fields,) = _status(report)
    assert fields["Final-Recipient"] == "rfc822;c@far.example"
    assert fields["Action"] == "failed"
    assert fields["Status"] == "5.1.1"
    assert fields["Remote-MTA"] == "dns; mx.far.example"
    assert fields["Diagnostic-Code"] == "smtp; 550 5.1.1 No such user"
    assert house.told.verdicts("queue").count("reported") == 1


def test_a_refusing_route_fails_and_a_temporary_one_defers():
    """5xx of a route is a bounce, 4xx waits."""
    house = House()
    house.router.answers["a@far.example"] = NO
    house.router.answers["b@far.example"] = BUSY
    house.send("a@far.example", "b@far.example")
    assert [str(each.recipient.address) for each in house.pending()] == ["b@far.example"]
    assert len(house.reports()) == 1


def test_a_missing_agent_defers():
    """A route to an agent that is not configured waits for the operator."""
    house = House()
    house.router.answers["far.example"] = Route("nowhere")
    house.send()
    assert house.pending()[0].last.temporary


def test_an_agent_that_fails_defers():
    """A plugin's exception loses nothing and bounces nothing."""
    house = House()
    house.agent.answers["far.example"] = RuntimeError("bug")
    house.send()
    assert house.pending()[0].last.temporary
    assert house.reports() == []


def test_mail_is_given_up_after_five_days():
    """Then the sender hears that it was tried for too long, with the last reply."""
    house = House()
    house.agent.answers["far.example"] = (Status.DEFERRED, BUSY, "mx.far.example")
    house.send()
    house.wait(432000 - 120, 600)
    assert house.queued() == ["M1"]
    house.wait(300)
    assert house.queued() == []
    assert [to for to, _ in house.reports()] == ["alice@client.example"] * 2
    (fields,) = _status(house.reports()[-1][1])
    assert (fields["Action"], fields["Status"]) == ("failed", "4.4.7")
    assert "Greylisted" in fields["Diagnostic-Code"]


def test_a_delay_is_told_once():
    """After four hours the sender is told that it waits, and not told again."""
    house = House()
    house.agent.answers["far.example"] = (Status.DEFERRED, BUSY, "mx.far.example")
    house.send()
    house.wait(14400 - 60)
    assert house.reports() == []
    house.wait(86400, 600)
    ((_, report),) = house.reports()
    (fields,) = _status(report)
    assert fields["Action"] == "delayed"
    assert "Will-Retry-Until" in fields
    assert house.pending()[0].warned


def test_success_is_reported_where_it_was_asked_for():
    """NOTIFY=SUCCESS: relayed and delivered are told, passed on is the next host's to tell."""
    house = House()
    house.agent.answers["d@far.example"] = (Status.DELIVERED, OK)
    house.agent.answers["p@far.example"] = (Status.PASSED_ON, OK)
    success = frozenset({"SUCCESS"})
    house.send(*(recipient(f"{who}@far.example", notify=success) for who in "rdp"))
    actions = sorted(_status(report)[0]["Action"] for _, report in house.reports())
    assert actions == ["delivered", "relayed"]


def test_never_means_never():
    """NOTIFY=NEVER: no report, not even of a failure."""
    house = House()
    house.agent.answers["far.example"] = (Status.FAILED, NO)
    house.send(recipient("bob@far.example", notify=frozenset({"NEVER"})))
    assert house.queued() == []
    assert house.reports() == []
    assert "not reported" in house.told.verdicts("queue")


def test_an_alias_is_recorded_as_those_it_stands_for():
    """Only the one that is still deferred waits, by its own address, with where it came from."""
    house = House()
    house.router.answers["all@here.example"] = Redirect(
        (mailbox("a@far.example"), mailbox("b@far.example"))
    )
    house.agent.answers["b@far.example"] = (Status.DEFERRED, BUSY, "mx")
    house.send("all@here.example")
    (pending,) = house.pending()
    assert str(pending.recipient.address) == "b@far.example"
    assert str(pending.recipient.original) == "all@here.example"
    house.agent.answers.clear()
    house.wait(120)
    assert house.agent.delivered == ["a@far.example", "b@far.example"]


def test_two_names_of_one_mailbox_get_one_copy():
    """Aliases that meet share a delivery, and its outcome."""
    house = House()
    for name in ("x", "y"):
        house.router.answers[f"{name}@here.example"] = Redirect((mailbox("bob@far.example"),))
    success = frozenset({"SUCCESS"})
    house.send(
        recipient("x@here.example", notify=success), recipient("y@here.example", notify=success)
    )
    copies = [routes for message, routes in house.agent.calls if message.id == "M1"]
    assert [len(routes) for routes in copies] == [1]
    ((_, report),) = house.reports()
    assert len(_status(report)) == 2
    assert house.queued() == []


def test_an_expanded_alias_is_reported_as_expanded():
    """RFC 3461 section 5.2.7.3: success of several mailboxes is told once."""
    house = House()
    house.router.answers["all@here.example"] = Redirect(
        (mailbox("a@far.example"), mailbox("b@far.example"))
    )
    house.send(recipient("all@here.example", notify=frozenset({"SUCCESS", "FAILURE"})))
    ((_, report),) = house.reports()
    (fields,) = _status(report)
    assert fields["Action"] == "expanded"
    assert fields["Final-Recipient"] == "rfc822;all@here.example"


def test_a_list_bounces_to_its_owner():
    """Copies of a list have its owner as sender, who gets their failures."""
    house = House()
    owner = Mailbox("owner", "lists.example")
    house.router.answers["list@here.example"] = Redirect((mailbox("a@far.example"),), owner)
    house.agent.answers["a@far.example"] = (Status.FAILED, NO)
    house.send(recipient("list@here.example", notify=frozenset({"SUCCESS"})))
    copy = next(message for message, _ in house.agent.calls if message.id == "M1")
    assert copy.envelope.sender == owner
    told = {to: _status(report)[0]["Action"] for to, report in house.reports()}
    assert told == {"alice@client.example": "delivered", "owner@lists.example": "failed"}


def test_the_null_sender_gets_no_report():
    """A bounce that bounces is dropped with a log line."""
    house = House()
    house.agent.answers["far.example"] = (Status.FAILED, NO)
    house.send(sender=None)
    assert house.queued() == []
    assert len(house.agent.calls) == 1
    assert "double bounce dropped" in house.told.verdicts("queue")


def test_double_bounces_go_where_the_operator_wants_them():
    """And no further: what fails there is dropped."""
    house = House(bounces=BounceSettings(double_bounces=Mailbox("postmaster", "here.example")))
    house.agent.answers["far.example"] = (Status.FAILED, NO)
    house.agent.answers["here.example"] = (Status.FAILED, NO)
    house.send(sender=None)
    assert [to for to, _ in house.reports()][1:] == ["postmaster@here.example"]
    assert house.queued() == []


class FullStore(MemoryQueue):
    """Takes nothing new while `full`, and records nothing while `broken`."""

    full = False
    broken = False

    def begin(self, envelope):
        if self.full:
            raise OSError(errno.ENOSPC, "full")
        return super().begin(envelope)

    def record(self, id, pending, release=True):
        if self.broken:
            raise OSError(errno.EIO, "broken")
        return super().record(id, pending, release)


def test_a_failure_nobody_could_be_told_of_is_not_recorded():
    """The report comes first: while it cannot be stored, the message waits."""
    house = House(store=FullStore)
    store = house.store
    house.agent.answers["far.example"] = (Status.FAILED, NO)
    around = envelope("alice@client.example", "bob@far.example", id="M1")
    draft = store.begin(around)
    draft.write(BODY)
    entry = draft.commit(around, b"", claimed=True)
    store.full = True
    house.scheduler.accept(entry, True)
    assert house.queued() == ["M1"]
    store.full = False
    house.wait(120)
    assert [to for to, _ in house.reports()] == ["alice@client.example"]
    assert house.queued() == []


def test_an_outcome_is_recorded_until_it_is():
    """A store that cannot record is asked again; the message is not delivered twice."""
    house = House(store=FullStore)
    store = house.store
    store.broken = True
    house.send()
    assert house.queued() == ["M1"]
    house.clock.advance(10)
    store.broken = False
    house.clock.advance(10)
    assert house.queued() == []
    assert house.agent.delivered == ["bob@far.example"]


def test_a_store_that_cannot_record_does_not_fill_the_log():
    """One traceback a minute, however many messages wait for it (a full disk)."""
    house = House(store=FullStore)
    house.store.broken = True
    with capturedLogs() as logged:
        for number in range(10):
            house.send(f"u@d{number}.example", id=f"M{number}")
        house.clock.pump([10.0] * 12)
    lines = [event for event in logged if "cannot record" in event["log_format"]]
    assert len(lines) == 3
    assert lines[1]["unsaid"] == 59
    assert isinstance(lines[0]["log_failure"].value, OSError)


def test_the_window_is_bounded():
    """No more than `active` messages are worked on; the rest follows as they end."""
    house = House(replace(TIMES, active=4, per_destination=100))
    waits = {}
    for number in range(12):
        waits[number] = house.agent.answers[f"u@d{number}.example"] = Deferred()
    for number in range(12):
        house.send(f"u@d{number}.example", id=f"M{number:02}")
    house.clock.advance(1)
    assert len(house.agent.calls) == 4
    for number in range(12):
        _, routes = house.agent.calls[number]
        waits[number].callback([Outcome(routes[0].recipient, Status.RELAYED, OK)])
        house.clock.advance(1)
        assert len(house.agent.calls) - number - 1 <= 4
    assert house.queued() == []


def test_fresh_mail_leaves_half_of_the_window_to_what_waits():
    """While more is due than there is room for, has_room() says no sooner."""
    house = House(replace(TIMES, active=4))
    for number in range(8):
        house.agent.answers[f"u@d{number}.example"] = Deferred()
        house.send(f"u@d{number}.example", id=f"M{number}")
    house.clock.advance(1)
    assert not house.scheduler.has_room()
    for number in range(2):
        _, routes = house.agent.calls[number]
        house.agent.answers[f"u@d{number}.example"].callback(
            [Outcome(routes[0].recipient, Status.RELAYED, OK)]
        )
    assert not house.scheduler.has_room()


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
        around = envelope("a@b.example", "u@dead.example", id=f"D{number:04}")
        house.store.begin(around).commit(around, b"")
    for number in range(100):
        around = envelope("a@b.example", "u@live.example", id=f"L{number:04}")
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


def test_leases_are_renewed_while_an_agent_works():
    """A delivery that takes long stays ours."""
    house = House(agent_timeout=4000.0)
    slow = house.agent.answers["far.example"] = Deferred()
    house.send()
    house.wait(1500, 30.0)
    assert result_of(house.store.claim(house.now(), 10, 1.0)) == []
    _, routes = house.agent.calls[0]
    assert len(house.agent.calls) == 1
    slow.callback([Outcome(routes[0].recipient, Status.RELAYED, OK)])


def test_a_delivery_that_takes_too_long_is_cut_off():
    """The agent's timeout or ours ends it, and the message waits for the next attempt."""
    for house in (House(), House(replace(TIMES, attempt_timeout=35.0), agent_timeout=4000.0)):
        _times_out(house)


def _times_out(house):
    cancelled = []
    house.agent.answers["far.example"] = Deferred(cancelled.append)
    house.send()
    house.wait(40, 10.0)
    assert cancelled
    assert house.pending()[0].attempts == 1


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
    house.clock.advance(module.STOP_WAIT)
    assert stopped.called
    entry = result_of(house.store.get("M1"))
    assert not entry.leased
    assert entry.pending[0].attempts == 0
    assert house.clock.getDelayedCalls() == []


def test_after_the_stop_messages_stay_in_the_queue():
    """A session that commits late leaves its message for the next start."""
    house = House()
    house.scheduler.stopService()
    around = envelope("a@b.example", "bob@far.example", id="M1")
    entry = house.store.begin(around).commit(around, b"", claimed=True)
    house.scheduler.accept(entry, True)
    assert not result_of(house.store.get("M1")).leased
    assert house.agent.calls == []


def test_a_clock_that_goes_back_makes_nothing_wait_for_days():
    """What was deferred by the wrong time is tried by the right one."""
    house = House()
    house.offset = 86400.0
    house.agent.answers["far.example"] = (Status.DEFERRED, BUSY, "mx")
    house.send()
    house.agent.answers.clear()
    house.offset = 0.0
    house.send("x@near.example", id="M2")
    house.wait(120)
    assert house.queued() == []


def test_a_clock_that_jumps_a_day_ahead_and_back():
    """What waits is tried early rather than late: noticed within a minute, nothing given up."""
    house = House(replace(TIMES, warn_after=None))
    house.agent.answers["far.example"] = (Status.DEFERRED, BUSY, "mx")
    house.send()
    house.store.change(["M1"], "hold", house.now())
    for number in range(2, 6):
        house.send(f"u@d{number}.far.example", "bob@far.example", id=f"M{number}")
    tried = len(house.agent.calls)
    house.offset = 86400.0
    house.wait(module.LONGEST_SLEEP, 1.0)
    assert len(house.agent.calls) == tried + 4
    assert all(each.due > house.now() for each in house.pending("M2"))
    house.send("x@near.example", id="N1")
    house.offset = 0.0
    house.wait(module.LONGEST_SLEEP, 1.0)
    waits = max(TIMES.waits)
    assert all(
        each.due <= house.now() + waits for n in range(1, 6) for each in house.pending(f"M{n}")
    )
    assert house.reports() == []
    house.agent.answers.clear()
    house.wait(2 * waits)
    assert house.queued() == ["M1"]
    assert sorted(house.agent.delivered) == sorted(
        ["x@near.example", *(f"u@d{n}.far.example" for n in range(2, 6)), *["bob@far.example"] * 4]
    )


def test_a_store_that_does_not_answer_is_asked_again():
    """A failing claim is logged and tried again after a while."""

    class Failing(MemoryQueue):
        failures = 2

        def claim(self, *arguments):
            self.failures -= 1
            if self.failures >= 0:
                raise OSError(errno.EIO, "no")
            return super().claim(*arguments)

    house = House(store=Failing, start=False)
    house.send()
    house.scheduler.startService()
    house.clock.advance(0)
    assert house.agent.delivered == []
    house.wait(30, 10.0)
    assert house.agent.delivered == ["bob@far.example"]


def test_a_slow_destination_does_not_hold_back_what_is_known_of_others():
    """Outcomes are saved while other recipients of the message are still tried."""
    house = House()
    slow = house.agent.answers["slow.example"] = Deferred()
    house.send("a@slow.example", "b@near.example", "c@far.example")
    assert [str(each.recipient.address) for each in house.pending()] == ["a@slow.example"]
    assert result_of(house.store.get("M1")).leased
    slow.errback(Failure(CancelledError()))


def test_a_big_message_is_returned_by_its_headers():
    """Over return_size a failure brings back the header section only."""
    house = House(bounces=BounceSettings(return_size=Size(100)))
    house.agent.answers["far.example"] = (Status.FAILED, NO)
    house.send(body=BODY + b"x\r\n" * 100)
    ((_, report),) = house.reports()
    assert report.get_payload(2).get_content_type() == "text/rfc822-headers"


def test_those_waiting_for_a_turn_are_let_go_at_the_stop():
    """What waits for a busy destination stops waiting; nothing of it is counted."""
    house = House(replace(TIMES, per_destination=1))
    house.agent.answers["far.example"] = Deferred()
    for number in range(3):
        house.send(id=f"M{number}")
    house.send("a@far.example", "b@near.example", id="M3")
    stopped = house.scheduler.stopService()
    house.clock.advance(module.STOP_WAIT)
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
    house.clock.advance(module.STOP_WAIT)
    assert stopped.called
    assert house.pending()[0].attempts == 0


def test_a_stop_while_the_store_cannot_record():
    """The outcome is given up; the lease runs out, and it is tried again later."""
    house = House(store=FullStore)
    store = house.store
    store.broken = True
    house.send()
    stopped = house.scheduler.stopService()
    house.clock.advance(module.STOP_WAIT)
    assert stopped.called
    assert house.queued() == ["M1"]


def test_a_slow_route_is_waited_for():
    """A router may answer later."""
    house = House()
    answer = house.router.answers["far.example"] = Deferred()
    house.send()
    assert house.agent.calls == []
    answer.callback(Route("smtp", next_hop=NextHop("mx.far.example")))
    assert house.agent.delivered == ["bob@far.example"]


def test_a_delay_nobody_could_be_told_of_is_told_later():
    """The sender hears of the delay at the next attempt."""
    house = House(store=FullStore)
    store = house.store
    house.agent.answers["far.example"] = (Status.DEFERRED, BUSY, "mx")
    house.send()
    house.wait(14400 - 1800)
    store.full = True
    house.wait(14400, 600)
    assert not house.pending()[0].warned
    store.full = False
    house.wait(14400, 600)
    assert house.pending()[0].warned
    assert [to for to, _ in house.reports()] == ["alice@client.example"]


def test_a_report_of_what_is_read_in_a_thread():
    """A body that must be opened is opened in a thread, and only as far as it is returned."""
    opened = []

    class InFiles(MemoryQueue):
        def add(self, message, claimed):
            body = message.content.body

            def open_body():
                opened.append(message.id)
                if body.startswith(b"broken"):
                    raise OSError(errno.EIO, "damaged")
                return io.BytesIO(body)

            content = replace(message.content, body=open_body)
            return super().add(replace(message, content=content), claimed)

    house = House(store=InFiles)
    house.clock.getThreadPool = lambda: house.clock
    house.clock.callInThreadWithCallback = _call_here
    house.clock.callFromThread = lambda call, *arguments: call(*arguments)
    house.agent.answers["far.example"] = (Status.FAILED, NO)
    house.send(id="M1")
    house.send(id="M2", body=b"broken")
    (_, whole), (_, without) = house.reports()
    assert opened[:1] == ["M1"]
    assert "Hello there." in whole.as_string()
    assert len(without.get_payload()) == 2


def _call_here(done, call, *arguments, **more):
    try:
        result = call(*arguments, **more)
    except OSError:
        done(False, Failure())
    else:
        done(True, result)


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

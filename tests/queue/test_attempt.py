"""One attempt: routes asked anew, deliveries, and what is recorded of them."""

from __future__ import annotations

from dataclasses import replace

from queue_kit import BUSY, NO, TIMES, FullStore, House, status_fields
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import capturedLogs
from twisted.python.failure import Failure

from mailframe.message import NextHop, Outcome, Redirect, Route, Status
from mailframe.smtp.reply import OK
from mailframe.testing.hooks import result_of
from mailframe.testing.values import mailbox, recipient


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
    (fields,) = status_fields(report)
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
    """Aliases that meet are one entry; of the second it is said that it stands for another."""
    house = House()
    for name in ("x", "y"):
        house.router.answers[f"{name}@here.example"] = Redirect((mailbox("bob@far.example"),))
    success = frozenset({"SUCCESS"})
    house.send(
        recipient("x@here.example", notify=success), recipient("y@here.example", notify=success)
    )
    copies = [routes for message, routes in house.agent.calls if message.id == "M1"]
    assert [len(routes) for routes in copies] == [1]
    said = [fields for _, report in house.reports() for fields in status_fields(report)]
    assert sorted((fields["Action"], fields["Final-Recipient"]) for fields in said) == [
        ("expanded", "rfc822;y@here.example"),
        ("relayed", "rfc822;bob@far.example"),
    ]
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


def test_an_outcome_is_recorded_at_a_stop():
    """If the store could not record it before, it is asked once more, however long it waits."""
    for healed in (True, False):
        house = House(store=FullStore)
        house.store.broken = True
        house.send()
        house.clock.advance(5)
        stopped = house.scheduler.stopService()
        house.clock.advance(6)  # asked again, in vain
        house.store.broken = not healed
        house.clock.advance(5)  # cut off
        assert stopped.called
        assert house.queued() == ([] if healed else ["M1"])


def test_recipients_that_are_put_off_together_are_tried_together():
    """The jitter is one for all of a message, so that one transaction takes them again."""
    chances = iter([0.0, 1.0, -1.0, 0.5] * 50)
    house = House(chance=lambda: next(chances))
    house.agent.answers["far.example"] = (Status.DEFERRED, BUSY, "mx")
    house.send(*[f"u{number}@far.example" for number in range(20)])
    assert len({each.due for each in house.pending()}) == 1
    house.wait(120)
    assert len(house.agent.calls) == 2


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


def test_a_slow_destination_does_not_hold_back_what_is_known_of_others():
    """Outcomes are saved while other recipients of the message are still tried."""
    house = House()
    slow = house.agent.answers["slow.example"] = Deferred()
    house.send("a@slow.example", "b@near.example", "c@far.example")
    assert [str(each.recipient.address) for each in house.pending()] == ["a@slow.example"]
    assert result_of(house.store.get("M1")).leased
    slow.errback(Failure(CancelledError()))


def test_a_slow_route_is_waited_for():
    """A router may answer later."""
    house = House()
    answer = house.router.answers["far.example"] = Deferred()
    house.send()
    assert house.agent.calls == []
    answer.callback(Route("smtp", next_hop=NextHop("mx.far.example")))
    assert house.agent.delivered == ["bob@far.example"]


def test_a_message_to_many_hosts_is_not_written_for_each_of_them():
    """What is known is saved together: few writes for four hundred outcomes in 4 s."""
    house = House()
    answers, recorded = [], []

    def deliver(message, routes):
        answers.append((Deferred(), routes[0].recipient))
        return answers[-1][0]

    record = house.store.record

    def counting(id, pending, release=True):
        recorded.append(len(pending))
        record(id, pending, release)

    house.agent.deliver, house.store.record = deliver, counting
    house.send(*[f"u@d{number}.example" for number in range(400)])
    for done, to in answers:
        house.clock.advance(0.01)
        done.callback([Outcome(to, Status.RELAYED, OK)])
    house.wait(2, 0.1)
    assert recorded[0] == 399 and recorded[-1] == 0
    assert len(recorded) <= 70
    assert house.queued() == []


def test_an_attempt_that_ends_does_not_wait_to_save():
    """A stop amid the pause records what is known at once."""
    house = House()
    answers = []

    def deliver(message, routes):
        answers.append((Deferred(), routes[0].recipient))
        return answers[-1][0]

    house.agent.deliver = deliver
    house.send(*[f"u@d{number}.example" for number in range(400)])
    for done, to in answers[:10]:
        done.callback([Outcome(to, Status.RELAYED, OK)])
    stopped = house.scheduler.stopService()
    house.clock.advance(11)
    assert stopped.called
    assert len(house.pending()) == 390

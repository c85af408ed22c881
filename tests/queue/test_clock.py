"""What a wall clock that jumps does to what waits."""

from __future__ import annotations

import random
from dataclasses import replace

from queue_kit import BUSY, NO, TIMES, House
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from mailframe.message import Outcome, Status
from mailframe.queue import claiming
from mailframe.smtp.reply import OK
from mailframe_plugins.queue_memory import MemoryQueue


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
    house.wait(claiming.LONGEST_SLEEP, 1.0)
    assert len(house.agent.calls) == tried + 4
    assert all(each.due > house.now() for each in house.pending("M2"))
    house.send("x@near.example", id="N1")
    house.offset = 0.0
    house.wait(claiming.LONGEST_SLEEP, 1.0)
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


def test_a_clock_put_right_between_two_runs():
    """What was deferred while it stood ten years ahead is due at the next start."""
    house = House()
    house.offset = 10 * 365 * 86400.0
    house.agent.answers["far.example"] = (Status.DEFERRED, BUSY, "mx")
    house.send(id="M1")
    house.send(id="M2")
    house.store.change(["M2"], "hold", house.now())
    house.scheduler.stopService()
    assert house.clock.getDelayedCalls() == []
    again = House(store=lambda settings, site: house.store, clock=house.clock, start=False)
    again.send("ann@near.example", id="M3")
    with capturedLogs() as logged:
        again.scheduler.startService()
        again.wait(60)
    assert again.queued() == ["M2"]
    assert again.pending("M2")[0].due <= again.now()
    (said,) = [event for event in logged if "stood ahead" in event["log_format"]]
    assert said["messages"] == 2


def test_a_start_leaves_alone_what_waits_by_the_schedule():
    """Nothing is tried sooner because a host begins."""
    house = House()
    house.agent.answers["far.example"] = (Status.DEFERRED, BUSY, "mx")
    house.send()
    house.wait(7200)
    due = house.pending()[0].due
    house.scheduler.stopService()
    again = House(store=lambda settings, site: house.store, clock=house.clock)
    assert again.pending()[0].due == due
    assert again.agent.calls == []


def test_a_stop_while_waits_are_looked_at():
    """The store may be closed then: nothing is logged."""

    class Slow(MemoryQueue):
        def find(self, *arguments, **more):
            return Deferred()

    with capturedLogs() as logged:
        house = House(store=Slow)
        assert house.scheduler.stopService().called
    assert logged == []


def test_days_pass_the_same_way_each_time():
    """Times, chance and threads are passed in: a week can be played again, event by event."""
    first, second, third = (_a_week(seed) for seed in (7, 7, 8))
    assert first == second
    assert first != third
    assert len(first) > 150


def _a_week(seed):
    moods = random.Random(seed)
    house = House(replace(TIMES, jitter=0.3), chance=lambda: moods.uniform(-1, 1))
    start = house.now()

    def deliver(message, routes):
        mood = moods.random()
        kind, reply = (Status.DEFERRED, BUSY) if mood < 0.9 else (Status.RELAYED, OK)
        if mood > 0.97:
            kind, reply = Status.FAILED, NO
        return [Outcome(route.recipient, kind, reply, "mx") for route in routes]

    house.agent.deliver = deliver
    for day in range(7):
        for number in range(4):
            house.send(f"u{number}@d{number % 3}.example", id=f"D{day}N{number}")
        house.wait(86400, 30.0)
    return [
        (event.time - start, event.verdict, event.id[:4], event.facts.get("due"))
        for event in house.told.events
        if event.id.startswith("D")
    ]

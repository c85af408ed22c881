"""What keeps the reactor is named, while it does and once only."""

from __future__ import annotations

import threading
import time

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import TestCase

from mailframe.hooks import Bound
from mailframe.host.watchdog import QUIET, Watch, Watchdog, called_by_the_reactor
from mailframe.plugin import Filter

# A reactor's loop, as far as a stack shows it; these tests run in no reactor's own.
LOOP = {"__name__": "twisted.internet.epollreactor"}
exec("def doPoll(call): return call()", LOOP)


class Seen:
    """A Watch of this thread at 0.1 s; `look` from within what it is to see."""

    def __init__(self):
        self.warnings = []
        self.freed = []
        self.watch = Watch(threading.get_ident(), 0.1, self.warn, self.freed.append)
        self.waits(0.0)

    def warn(self, seconds, frames, left_out):
        names = [frame.f_code.co_name for frame in frames]
        self.warnings.append((round(seconds, 2), names, left_out))

    def during_one_call(self, *moments, worked=0.0):
        def slow():
            return [self.watch.look(moment, worked) for moment in moments]

        return LOOP["doPoll"](slow)

    def waits(self, moment, worked=0.0):
        """A look at a reactor that waits for something to happen, or works at its own."""
        return self.watch.look(moment, worked)


def test_a_call_is_named_once_while_it_goes_on():
    """With the stack from what the reactor called inwards; and its end is told."""
    seen = Seen()
    seen.during_one_call(0.05, 0.06, 0.07, 0.09)
    assert seen.warnings == []
    seen.waits(0.1)
    seen.during_one_call(0.15, 0.16, 0.18, 0.2, 0.3, 0.9)
    [(seconds, names, left_out)] = seen.warnings
    assert (seconds, names[0], left_out) == (0.1, "slow", 0)
    assert seen.freed == []
    seen.waits(1.1)
    seen.waits(1.2)
    assert seen.freed == [1.0]


def test_it_looks_closer_while_something_goes_on():
    """Twice in the time that may pass, and four times."""
    seen = Seen()
    assert seen.waits(0.05) == 0.05
    assert seen.during_one_call(0.1, 0.11) == [0.025, 0.025]


def test_many_short_calls_are_nobodys_fault():
    """A long round of the reactor blames none of what it did in it."""
    seen = Seen()
    for number in range(50):
        seen.during_one_call(0.05 + number / 50)
    assert seen.warnings == []


def test_a_reactor_that_waits_is_not_blocked():
    """Nor is a machine that stood still, nor a thread without a reactor."""
    seen = Seen()
    for moment in (0.05, 0.2, 0.5, 7.0):
        seen.waits(moment)
    seen.during_one_call(10.0, worked=0.01)
    assert seen.warnings == []
    assert called_by_the_reactor(None) == []


def test_what_kept_us_from_looking_is_seen():
    """A call into C that holds the interpreter: one look has to be enough."""
    seen = Seen()
    seen.waits(0.5, worked=0.1)
    seen.during_one_call(3.5, worked=3.0)
    assert [seconds for seconds, *_ in seen.warnings] == [3.0]


def test_the_same_call_is_not_named_all_the_time():
    """After a while again, with how often it was left out."""
    seen = Seen()
    for start in (0.0, 1.0, 2.0, QUIET + 1, QUIET + 2):
        seen.waits(start)
        seen.during_one_call(start + 0.05, start + 0.12)
    seen.waits(QUIET + 3)
    assert [left_out for *_, left_out in seen.warnings] == [0, 2]
    assert len(seen.freed) == 2


class Sleeper(Filter):
    """A plugin that does what it must not."""

    def connected(self, client):
        # Blocking is what is to be seen here.
        time.sleep(client)


def during(seconds):
    done = Deferred()
    reactor.callLater(seconds, done.callback, None)
    return done


class TestWatchdog(TestCase):
    """With a real reactor and a real thread."""

    def listen(self):
        events = []

        def heard(event):
            if event["log_namespace"].endswith("watchdog.Watchdog"):
                events.append((threading.current_thread().name, formatEvent(event)))

        globalLogPublisher.addObserver(heard)
        self.addCleanup(globalLogPublisher.removeObserver, heard)
        return events

    async def test_a_plugin_that_blocks_is_named_with_its_stack(self):
        """From the other thread, before it is over."""
        events, sleeper = self.listen(), Sleeper()
        watchdog = Watchdog(reactor, 0.1, [Bound("filter", "sleeper", sleeper)])
        watchdog.startService()
        self.addCleanup(watchdog.stopService)
        await during(0.05)
        sleeper.connected(0.4)
        await during(0.2)
        (thread, named), (_, freed) = events
        assert thread == "mailframe-watchdog"
        assert "by filter plugin sleeper at test_watchdog:" in named
        assert named.rstrip().endswith("time.sleep(client)")
        assert freed.startswith("the reactor was free again after 0.")

    async def test_a_reactor_that_goes_round_costs_nothing_and_says_nothing(self):
        """A start, a while, a stop, and again; the thread is gone afterwards."""
        events = self.listen()
        watchdog = Watchdog(reactor, 0.5)
        for _ in range(2):
            watchdog.startService()
            spent = time.thread_time()
            await during(0.5)
            assert time.thread_time() - spent < 0.1
            watchdog.stopService()
        await during(0.1)
        assert events == []
        assert "mailframe-watchdog" not in [thread.name for thread in threading.enumerate()]

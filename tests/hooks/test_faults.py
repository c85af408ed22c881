"""Plugins that fail, stall or talk nonsense: logged, told, answered with a 4xx, never a door."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from mailframe.hooks import Bound, Hooks
from mailframe.hooks.breaker import FAULTS_TO_OPEN, FIRST_PAUSE, LONGEST_PAUSE, Breaker
from mailframe.hooks.question import BLOCKING
from mailframe.message import Finding, Outcome, Redirect, Route, Status
from mailframe.plugin import Filter
from mailframe.smtp.address import Mailbox
from mailframe.smtp.reply import OK, RECIPIENT_OK, RELAYING_DENIED, Reply
from mailframe.testing.hooks import Remembered, compose_hooks, result_of
from mailframe.testing.values import client, envelope, message, recipient

NOT_NOW = re.compile(r"45[14] 4\.[37]\.0 Local error, try again later \(ref ([0-9A-Z]{4})\)")


class Broken(Exception):
    """What these plugins raise."""


class Doing:
    """A plugin of every stage that does as it is told."""

    credentialInterfaces = ()

    def __init__(self, do: Any) -> None:
        self.do = do
        self.asked = 0

    def _answer(self, *asked: Any) -> Any:
        self.asked += 1
        return self.do(*asked) if callable(self.do) else self.do

    requestAvatarId = judge = route = deliver = _answer
    connected = hello = sender = recipient = content = _answer


def broken(*asked: Any) -> Any:
    raise Broken("the password is hunter2")


async def broken_later(*asked: Any) -> Any:
    raise Broken("later")


class FaultTests(SynchronousTestCase):
    """A fault at each stage."""

    def reference(self, reply: Any) -> str:
        """The reference that a client was shown; the reply has nothing else of the fault."""
        match = NOT_NOW.fullmatch(str(reply))
        self.assertIsNotNone(match, reply)
        assert match is not None
        return match[1]

    def judge(self, *plugins: Any, **more: Any) -> Any:
        return result_of(compose_hooks(relay=plugins, **more).judge(envelope(), recipient()))

    def test_an_exception_never_opens(self) -> None:
        """relay: 451 with a reference, and nobody after it is asked."""
        opens = Doing(RECIPIENT_OK)
        for do in (broken, broken_later, lambda *asked: fail(Broken("x"))):
            self.reference(self.judge(Doing(do), opens))
        self.assertEqual(opens.asked, 0)
        self.assertEqual(len(self.flushLoggedErrors(Broken)), 3)

    def test_an_earlier_opinion_stands(self) -> None:
        """Who has been answered already does not meet a broken plugin behind."""
        self.assertEqual(self.judge(Doing(RECIPIENT_OK), Doing(broken)), RECIPIENT_OK)

    def test_nonsense_never_opens(self) -> None:
        """True, a text, a 354: no answers to that question."""
        for nonsense in (True, "250 OK", Reply(354, "Go on"), Reply(220, "Hi"), object(), 0):
            self.reference(self.judge(Doing(nonsense), Doing(RECIPIENT_OK)))

    def test_the_fault_is_told_with_its_reference(self) -> None:
        """What the client reads leads to the event and to the log."""
        seen = Remembered()
        reply = self.judge(Doing(broken), observers=[seen])
        fault, decision = seen.events
        self.assertEqual((fault.verdict, fault.plugin, fault.id), ("fault", "doing", "M1"))
        self.assertEqual(fault.facts["reference"], self.reference(reply))
        self.assertEqual(fault.facts["cause"], "Broken")
        self.assertEqual(decision.verdict, str(reply))
        self.assertNotIn("hunter2", repr(seen.events))
        self.flushLoggedErrors(Broken)

    def test_a_router_that_fails_refuses_for_now(self) -> None:
        """route: a refusal with 451; positive replies and empty redirects are nonsense."""
        for do in (broken, OK, Redirect(()), Redirect(("bob",)), "maildir"):  # type: ignore[arg-type]
            hooks = compose_hooks(routes=[Doing(do), Doing(Route("x"))])
            routing = result_of(hooks.route(envelope(), recipient()))
            ((_, reply),) = routing.refusals
            self.reference(reply)
            self.assertEqual(routing.routes, ())
        self.flushLoggedErrors(Broken)

    def test_a_filter_defers_or_is_skipped(self) -> None:
        """filter: its fail rule decides; before the greeting it is a 421."""

        def bound(rule: Any) -> Bound:
            return Bound("filter", "x", Doing(broken), on_error=rule)

        found = Doing(Finding({"seen": "yes"}))
        skipping = compose_hooks(filters=[bound("skip"), found])
        self.assertEqual(result_of(skipping.sender(envelope())).signals, {"seen": "yes"})
        deferring = compose_hooks(filters=[bound("defer"), found])
        self.reference(result_of(deferring.sender(envelope())).refusal)
        greeting = result_of(deferring.connected(client())).refusal
        assert greeting is not None
        self.assertEqual(greeting.code, 421)
        self.flushLoggedErrors(Broken)

    def test_what_could_forge_a_header_is_nonsense(self) -> None:
        """filter: header fields are whole, signals are texts."""
        for finding in (
            Finding(headers=("X-A: 1\r\nBcc: eve@example.org",)),
            Finding(headers=("X-A: 1\n\nbody",)),
            Finding(headers=("X-A: 1\r\n  \r\n",)),
            Finding(headers=("no colon",)),
            Finding(headers=("X-A: \x00",)),
            Finding(headers=("X-A: " + "x" * 1000,)),
            Finding(headers="X-A: 1"),  # type: ignore[arg-type]
            Finding(headers=(b"X-A: 1",)),  # type: ignore[arg-type]
            Finding(signals={"spf": None}),  # type: ignore[dict-item]
            Finding(signals=[("spf", "pass")]),  # type: ignore[arg-type]
        ):
            hooks = compose_hooks(filters=[Doing(finding)])
            self.reference(result_of(hooks.sender(envelope())).refusal)

    def test_a_checker_that_fails_is_remembered(self) -> None:
        """auth: the next may say yes; if nobody does, the answer is 454, not 535."""
        credentials = UsernamePassword(b"alice", b"secret")

        def answer(*plugins: Any) -> Any:
            return result_of(compose_hooks(auth=plugins).authenticate(client(), credentials))

        def no(*asked: Any) -> Any:
            raise UnauthorizedLogin

        self.assertEqual(answer(Doing(broken), Doing("alice")), "alice")
        for nonsense in (broken, b"\xff", "", "al\r\nice", 7):
            reply = answer(Doing(nonsense), Doing(no))
            self.assertEqual((reply.code, reply.status), (454, "4.7.0"))
        self.flushLoggedErrors(Broken)

    def test_an_agent_that_fails_defers_all(self) -> None:
        """deliver: an exception, at once, later or while its answer is read, loses nothing."""

        def half(message: Any, routes: Any) -> Any:
            yield Outcome(routes[0].recipient, Status.DELIVERED, OK)
            raise Broken

        routes = [Route("x", recipient=recipient(f"{name}@example.org")) for name in "ab"]
        for do in (broken, broken_later, half, None, 7, "delivered"):
            hooks = compose_hooks(agents={"x": Doing(do)})
            outcomes = result_of(hooks.deliver(message(), "x", routes))
            self.assertEqual({each.status for each in outcomes}, {Status.DEFERRED})
            self.assertEqual({each.recipient for each in outcomes}, {r.recipient for r in routes})
            self.reference(outcomes[0].reply)
        self.assertEqual(len(self.flushLoggedErrors(Broken)), 3)


class TimeoutTests(SynchronousTestCase):
    """Plugins that do not answer in time."""

    def setUp(self) -> None:
        self.clock = Clock()

    def asking(self, do: Any, *others: Any) -> Any:
        stalling = Bound("relay", "slow", Doing(do), timeout=5.0)
        hooks = compose_hooks(relay=[stalling, *others], reactor=self.clock)
        return hooks.judge(envelope(), recipient())

    def test_a_timeout_is_a_fault(self) -> None:
        """The client waits so long and no longer; the plugin's Deferred is cancelled."""
        cancelled: list[Any] = []
        asked = self.asking(Deferred(cancelled.append), Doing(RECIPIENT_OK))
        self.clock.advance(4.9)
        self.assertNoResult(asked)
        self.clock.advance(0.2)
        self.assertRegex(str(self.successResultOf(asked)), NOT_NOW)
        self.assertEqual(len(cancelled), 1)

    def test_an_answer_in_time_stops_the_clock(self) -> None:
        """Nothing is left behind in the reactor."""
        answer: Deferred[Any] = Deferred()
        asked = self.asking(answer)
        answer.callback(None)
        self.assertEqual(self.successResultOf(asked), RELAYING_DENIED)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_coroutine_that_will_not_be_cancelled_is_left_behind(self) -> None:
        """What it says or raises afterwards changes nothing, and is logged."""
        second: Deferred[Any] = Deferred()

        async def stubborn(*asked: Any) -> Any:
            try:
                await Deferred()
            except CancelledError:
                return await second

        asked = self.asking(stubborn)
        self.clock.advance(6)
        self.assertRegex(str(self.successResultOf(asked)), NOT_NOW)
        second.errback(Failure(Broken()))
        self.assertEqual(len(self.flushLoggedErrors(Broken)), 1)

    def test_a_canceller_that_raises_is_logged(self) -> None:
        """The reactor is not bothered with it."""
        asked = self.asking(Deferred(broken))
        self.clock.advance(6)
        self.assertRegex(str(self.successResultOf(asked)), NOT_NOW)
        self.assertEqual(len(self.flushLoggedErrors(Broken)), 1)

    def test_whoever_stops_waiting_blames_nobody(self) -> None:
        """A session that ends cancels the question: the plugin's Deferred too, no fault."""
        cancelled: list[Any] = []
        asked = self.asking(Deferred(cancelled.append))
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_agents_timeout_defers(self) -> None:
        """deliver: and however often it happens, the agent is not bypassed for it."""
        agent = Doing(lambda *asked: Deferred())
        hooks = compose_hooks(
            agents={"x": Bound("deliver", "x", agent, timeout=5.0)}, reactor=self.clock
        )
        for _ in range(FAULTS_TO_OPEN + 2):
            asked = hooks.deliver(message(), "x", [Route("x", recipient=recipient())])
            self.clock.advance(6)
            assert isinstance(asked, Deferred)
            (outcome,) = self.successResultOf(asked)
            self.assertEqual(outcome.status, Status.DEFERRED)
        self.assertEqual(agent.asked, FAULTS_TO_OPEN + 2)


class BypassTests(SynchronousTestCase):
    """The circuit breaker."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clients = 0
        self.plugin = Doing(broken)
        self.hooks: Hooks = compose_hooks(
            filters=[
                Bound("filter", "x", self.plugin, on_error="skip"),
                Bound("filter", "y", Filter()),
            ],
            relay=[self.plugin],
            reactor=self.clock,
        )

    def tearDown(self) -> None:
        self.flushLoggedErrors(Broken)

    def ask(self, address: str = "") -> Any:
        """Each time about another client, unless there is an address."""
        self.clients += 1
        asker = client(address or f"192.0.2.{self.clients}")
        return result_of(self.hooks.sender(replace(envelope(), client=asker))).refusal

    def route(self, address: str, by: str = "192.0.2.1") -> Any:
        """The reply about a recipient, by a relay policy that fails about `odd` alone."""
        self.plugin.do = lambda _envelope, r: (
            broken() if "odd" in str(r.address).lower() else RECIPIENT_OK
        )
        around = replace(envelope(), client=client(by))
        return result_of(self.hooks.judge(around, recipient(address)))

    def test_one_odd_recipient_is_not_everybody(self) -> None:
        """However often it is asked about: it is bypassed alone, and others are not."""
        for number in range(FAULTS_TO_OPEN + 10):
            by = f"192.0.2.{number}"
            self.assertRegex(str(self.route("odd@x.example", by)), NOT_NOW)
            self.route("Odd@X.example", by)
        self.assertEqual(self.plugin.asked, FAULTS_TO_OPEN)
        (row,) = self.hooks.state()
        self.assertEqual(
            (row["about"], row["faults"], row["open_for"]),
            ("recipient odd@x.example", FAULTS_TO_OPEN, FIRST_PAUSE),
        )
        self.clock.advance(FIRST_PAUSE)
        self.route("odd@x.example")
        self.route("odd@x.example")
        self.assertEqual(self.plugin.asked, FAULTS_TO_OPEN + 1)
        self.assertEqual(self.route("bob@x.example"), RECIPIENT_OK)
        self.assertEqual(list(self.hooks.state()), [])

    def test_one_odd_client_is_not_everybody(self) -> None:
        """Nor many recipients of one client, whoever they are."""
        said = self.listen()
        for number in range(FAULTS_TO_OPEN + 10):
            self.assertRegex(str(self.route(f"odd{number}@x.example")), NOT_NOW)
        self.assertEqual(self.plugin.asked, FAULTS_TO_OPEN)
        times = f"failed {FAULTS_TO_OPEN} times in a row at judge"
        alone = f"about client 192.0.2.1 alone: bypassed for {FIRST_PAUSE} s"
        self.assertEqual(said[-1], f"relay plugin doing {times} {alone}")
        self.assertRegex(str(self.route("bob@x.example")), NOT_NOW)
        self.assertEqual(self.route("bob@x.example", "192.0.2.2"), RECIPIENT_OK)
        # The plugin works: the first client is asked about again.
        self.assertEqual(self.route("bob@x.example"), RECIPIENT_OK)

    def test_one_network_is_one_client(self) -> None:
        """Addresses of the same IPv6 /64 are one client's."""
        for number in range(FAULTS_TO_OPEN + 10):
            self.route(f"odd{number}@x.example", f"2001:db8::{number}")
        self.assertEqual(self.plugin.asked, FAULTS_TO_OPEN)
        self.assertEqual(self.route("bob@x.example", "2001:db8:0:1::1"), RECIPIENT_OK)

    def test_many_odd_ones_are_everybody(self) -> None:
        """Recipients of several clients: it is the plugin."""
        for number in range(FAULTS_TO_OPEN):
            self.route(f"odd{number}@x.example", f"192.0.2.{number}")
        self.assertRegex(str(self.route("bob@x.example", "192.0.2.99")), NOT_NOW)
        self.assertEqual(self.plugin.asked, FAULTS_TO_OPEN)

    def test_who_keeps_failing_is_left_alone(self) -> None:
        """After some faults in a row it is bypassed by its fail rule, then probed."""
        for _ in range(FAULTS_TO_OPEN + 10):
            self.assertIsNone(self.ask())
        self.assertEqual(self.plugin.asked, FAULTS_TO_OPEN)
        self.clock.advance(FIRST_PAUSE + 1)
        self.ask()
        self.ask()
        self.assertEqual(self.plugin.asked, FAULTS_TO_OPEN + 1)

    def test_the_pause_grows(self) -> None:
        """A failed probe doubles it, up to a limit."""
        breaker = Breaker()
        pauses = [breaker.failed(0.0) for _ in range(FAULTS_TO_OPEN)]
        self.assertEqual(pauses, [None] * (FAULTS_TO_OPEN - 1) + [FIRST_PAUSE])
        now, longer = 0.0, []
        for _ in range(10):
            assert breaker.until is not None
            now = breaker.until
            self.assertTrue(breaker.admits(now))
            longer.append(breaker.failed(now))
        self.assertEqual(longer[:2], [2 * FIRST_PAUSE, 4 * FIRST_PAUSE])
        self.assertEqual(longer[-1], LONGEST_PAUSE)

    def test_a_good_probe_restores(self) -> None:
        """The plugin is asked again, each time."""
        for _ in range(FAULTS_TO_OPEN):
            self.ask()
        self.clock.advance(FIRST_PAUSE + 1)
        self.plugin.do = None
        for _ in range(3):
            self.ask()
        self.assertEqual(self.plugin.asked, FAULTS_TO_OPEN + 3)

    def test_only_one_probe_is_under_way(self) -> None:
        """The others go on being bypassed until it is settled; abandoned, it is made anew."""
        for _ in range(FAULTS_TO_OPEN):
            self.ask()
        self.clock.advance(FIRST_PAUSE + 1)
        self.plugin.do = lambda *asked: Deferred()
        probe = self.hooks.sender(envelope())
        self.assertIsNone(self.ask())
        assert isinstance(probe, Deferred)
        probe.cancel()
        self.failureResultOf(probe, CancelledError)
        self.assertIsInstance(self.hooks.sender(envelope()), Deferred)

    def test_who_keeps_blocking_is_left_alone(self) -> None:
        """Its answers count, at once or later, until it is bypassed, and so does a probe's."""

        def slow(*asked: Any) -> Any:
            self.clock.advance(BLOCKING)
            return Finding({"seen": "yes"})

        async def slow_first(*asked: Any) -> Any:
            answer = slow()
            await succeed(None)
            return answer

        self.plugin.do = slow
        answers = [result_of(self.hooks.sender(envelope())).signals for _ in range(3)]
        self.assertEqual(answers, [{"seen": "yes"}] * 3)
        self.plugin.do = slow_first
        for _ in range(FAULTS_TO_OPEN):
            self.ask()
        self.assertEqual(self.plugin.asked, FAULTS_TO_OPEN)
        self.clock.advance(FIRST_PAUSE)
        self.ask()
        self.ask()
        self.assertEqual(self.plugin.asked, FAULTS_TO_OPEN + 1)
        self.clock.advance(2 * FIRST_PAUSE)
        self.plugin.do = None
        self.ask()
        self.ask()
        self.assertEqual(self.plugin.asked, FAULTS_TO_OPEN + 3)

    def test_an_agent_that_blocks_is_left_alone(self) -> None:
        """deliver: it is patient with slow peers, not with a stopped reactor."""
        agent = Doing(lambda message, routes: self.clock.advance(BLOCKING) or [])
        hooks = compose_hooks(agents={"x": agent}, reactor=self.clock)
        for _ in range(FAULTS_TO_OPEN + 2):
            (outcome,) = result_of(
                hooks.deliver(message(), "x", [Route("x", recipient=recipient())])
            )
            self.assertEqual(outcome.status, Status.DEFERRED)
        self.assertEqual(agent.asked, FAULTS_TO_OPEN)

    def test_the_log_names_who_is_bypassed_and_restored(self) -> None:
        """The section's stage and the plugin's name, why, and for how long."""
        said = self.listen()
        for _ in range(FAULTS_TO_OPEN):
            self.ask()
        self.clock.advance(FIRST_PAUSE)
        self.plugin.do = None
        self.ask()
        pause = f"failed {FAULTS_TO_OPEN} times in a row at sender: bypassed for {FIRST_PAUSE} s"
        self.assertEqual(
            said[-2:],
            [f"filter plugin x {pause}", "filter plugin x answers sender again: restored"],
        )
        self.plugin.do = lambda *asked: self.clock.advance(2.5)
        self.ask()
        self.assertRegex(said[-1], "^filter plugin x blocked everything for 2.5 s at sender: ")

    def listen(self) -> list[str]:
        said: list[str] = []

        def heard(event: Any) -> None:
            said.append(formatEvent(event))

        globalLogPublisher.addObserver(heard)
        self.addCleanup(globalLogPublisher.removeObserver, heard)
        return said

    def test_faults_must_come_in_a_row(self) -> None:
        """An answer in between starts the count anew."""
        for _ in range(FAULTS_TO_OPEN * 2):
            self.plugin.do = broken
            self.ask()
            self.plugin.do = None
            self.ask()
        self.assertEqual(self.plugin.asked, FAULTS_TO_OPEN * 4)

    def test_a_bypassed_policy_stays_shut(self) -> None:
        """relay: bypassing is a 451 with the last reference, never an open door."""
        replies = [
            str(result_of(self.hooks.judge(envelope(), recipient())))
            for _ in range(FAULTS_TO_OPEN + 2)
        ]
        self.assertEqual(self.plugin.asked, FAULTS_TO_OPEN)
        self.assertEqual(replies[-1], replies[FAULTS_TO_OPEN - 1])
        self.assertRegex(replies[-1], NOT_NOW)


class ObserverTests(SynchronousTestCase):
    """Observers that fail harm nobody."""

    class Failing:
        wants = None

        def __init__(self, do: Any) -> None:
            self.do = do
            self.asked = 0

        def observe(self, event: Any) -> Any:
            self.asked += 1
            return self.do(event)

    def test_a_failing_observer_is_logged_and_left_alone(self) -> None:
        """The others are told; after some failures it is not told for a while."""
        clock, failing, seen = Clock(), self.Failing(broken), Remembered()
        hooks = compose_hooks(observers=[failing, seen], reactor=clock)
        for _ in range(FAULTS_TO_OPEN + 3):
            hooks.tell("queue", "accepted", id="M1", size=3)
        self.assertEqual((failing.asked, len(seen.events)), (FAULTS_TO_OPEN, FAULTS_TO_OPEN + 3))
        self.assertEqual(seen.events[0].facts, {"size": 3})
        self.assertEqual(len(self.flushLoggedErrors(Broken)), FAULTS_TO_OPEN)
        clock.advance(FIRST_PAUSE)
        failing.do = lambda event: None
        for _ in range(2):
            hooks.tell("queue", "accepted")
        self.assertEqual(failing.asked, FAULTS_TO_OPEN + 2)

    def test_what_keeps_failing_can_be_looked_at(self) -> None:
        """A row for each method that failed when it was last asked, until it answers again."""
        clock, policy, failing = Clock(), Doing(broken), self.Failing(broken)
        hooks = compose_hooks(relay=[policy], observers=[failing], reactor=clock)
        assert list(hooks.state()) == []
        hooks.judge(envelope(), recipient())
        relay = {"stage": "relay", "plugin": "doing", "method": "judge", "open_for": None}
        observe = {"stage": "observe", "plugin": "failing", "method": "observe", "open_for": None}
        # The observer heard of the fault, and of the refusal.
        assert list(hooks.state()) == [{**relay, "faults": 1}, {**observe, "faults": 2}]
        for number in range(FAULTS_TO_OPEN - 1):
            around = replace(envelope(), client=client(f"192.0.2.9{number}"))
            hooks.judge(around, recipient(f"x{number}@x.example"))
        clock.advance(1)
        [row, _] = hooks.state()
        assert row == {**relay, "faults": FAULTS_TO_OPEN, "open_for": FIRST_PAUSE - 1}
        clock.advance(FIRST_PAUSE)
        policy.do = None
        hooks.judge(envelope(), recipient())
        assert [row["stage"] for row in hooks.state()] == ["observe"]
        self.flushLoggedErrors(Broken)

    def test_an_observer_that_blocks_is_left_alone(self) -> None:
        """As one that fails."""
        clock = Clock()
        slow = self.Failing(lambda event: clock.advance(BLOCKING))
        hooks = compose_hooks(observers=[slow], reactor=clock)
        for _ in range(FAULTS_TO_OPEN + 3):
            hooks.tell("queue", "accepted")
        self.assertEqual(slow.asked, FAULTS_TO_OPEN)

    def test_an_observer_is_not_waited_for(self) -> None:
        """A coroutine is a fault; a Deferred goes its own way, its failure is logged."""

        async def slow(event: Any) -> None:
            raise AssertionError("this never runs")

        compose_hooks(observers=[self.Failing(slow)]).tell("queue", "accepted")
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        hooks = compose_hooks(observers=[self.Failing(lambda event: fail(Broken()))])
        hooks.tell("queue", "accepted")
        self.assertEqual(len(self.flushLoggedErrors(Broken)), 1)

    def test_only_who_wants_a_stage_is_told_of_it(self) -> None:
        """`wants` names stages; None is all of them."""
        few, all_ = Remembered(), Remembered()
        few.wants = frozenset({"relay"})  # type: ignore[assignment]
        hooks = compose_hooks(observers=[few, all_])
        hooks.tell("queue", "accepted")
        hooks.judge(envelope(), recipient())
        self.assertEqual([event.stage for event in few.events], ["relay"])
        self.assertEqual([event.stage for event in all_.events], ["queue", "relay"])


class DirectTests(SynchronousTestCase):
    """What else must not be taken for an answer."""

    def test_a_mailbox_is_no_way(self) -> None:
        """A router must say which agent."""
        hooks = compose_hooks(routes=[Doing(Mailbox("bob", "example.org"))])
        self.assertEqual(result_of(hooks.route(envelope(), recipient())).routes, ())

"""Contract tests: what every plugin of a stage must do, whoever wrote it.

    class TestNetworks(RelayPolicyContract, SynchronousTestCase):
        def make(self) -> Networks:
            return Networks(Settings(networks=("192.0.2.0/28",)), site())

Each contract is a mixin for a unittest or trial TestCase. `make` builds the plugin. `wait` gives
the value of its answer; override it if the plugin needs a real reactor.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import Unauthorized

from ..hooks import answers
from ..interfaces import IDeliveryAgent, IFilter, IObserver, IRelayPolicy, IRouter
from ..message import Client, Content, Envelope, Event, Message, Outcome, Recipient, Route
from ..smtp.address import Mailbox
from .contract import Contract
from .logins import CertificateCheckerContract, StoredKeysContract, TokenCheckerContract
from .values import client, content, envelope, message, recipient

#: Local parts that a stranger may send, for which a plugin must not fail.
ODD_LOCAL_PARTS = (
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    "a/b",
    "-rf",
    "|id",
    "$(id)",
    "a b",
    'quo"ted',
    "a@elsewhere.example",
    "a%elsewhere.example",
    "dots..",
    "UPPER+tag+tag",
    "+",
    "x" * 64,
    "müller",
)


def odd_recipients(domain: str = "example.org") -> list[Recipient]:
    """A recipient for every odd local part, and some at odd domains."""
    odd = [Mailbox(local, domain) for local in ODD_LOCAL_PARTS]
    odd += [Mailbox("bob", odd) for odd in ("[192.0.2.1]", "[ipv6:2001:db8::1]", "münchen.example")]
    return [Recipient(address) for address in [*odd, Mailbox("postmaster", "")]]


class RelayPolicyContract(Contract):
    """`[[relay]]`: the plugin must not permit any of the questions in `strangers`."""

    interface = IRelayPolicy

    def questions(self) -> Sequence[tuple[Envelope, Recipient]]:
        """The questions to ask; add those that are special to the plugin."""
        users = [client(), client(user="alice"), client("::1"), client("unix", listener="local")]
        asked = [
            (envelope(sender, client=each), recipient())
            for each in users
            for sender in ("alice@example.org", None)
        ]
        return [*asked, *((envelope(), each) for each in odd_recipients())]

    def strangers(self) -> Sequence[tuple[Envelope, Recipient]]:
        """Unknown clients that send to other domains; only an open relay would permit that."""
        elsewhere = ["bob@elsewhere.example", '"bob@example.org"@elsewhere.example']
        senders = ["alice@example.org", "alice@client.example", None]
        return [(envelope(sender), recipient(to)) for sender in senders for to in elsewhere]

    def test_it_answers_with_a_reply_or_nothing(self) -> None:
        """A 2xx permits, a 4xx or 5xx refuses, None has no opinion; there is no other answer."""
        plugin = self.make()
        for asked in self.questions():
            answer = self.wait(plugin.judge(*asked))
            assert answer is None or answers.is_judgement(answer), (asked, answer)

    def test_it_opens_for_no_stranger(self) -> None:
        """An unknown client may not relay to other domains."""
        plugin = self.make()
        for asked in self.strangers():
            answer = self.wait(plugin.judge(*asked))
            assert answer is None or not answer.positive, (asked, answer)


class FilterContract(Contract):
    """`[[filter]]`."""

    interface = IFilter

    def clients(self) -> Sequence[Client]:
        """The clients that connect."""
        return [client(), client("2001:db8::7", hello=""), client("unix"), client(user="alice")]

    def envelopes(self) -> Sequence[Envelope]:
        """The transactions that the filter is asked about."""
        odd = Mailbox("müller", "münchen.example")
        return [
            *(envelope(client=each) for each in self.clients()),
            envelope(None),
            envelope(odd, smtputf8=True),
        ]

    def contents(self) -> Sequence[Content]:
        """The messages that it is asked about: plain, empty, without a header, not in memory."""
        octets = b"From: <a@x.example>\r\n\r\n" + b"x" * 70 + b"\r\n"
        return [
            content(),
            content(b""),
            content(b"\r\nno header\r\n"),
            content(b"\xff\x00not mail"),
            Content(b"Received: x\r\n", lambda: io.BytesIO(octets), len(octets)),
        ]

    def _asked(self, plugin: Any) -> Iterator[Any]:
        for each in self.clients():
            yield plugin.connected(each)
            yield plugin.hello(each)
        for around in self.envelopes():
            yield plugin.sender(around)
            for to in [recipient(), *odd_recipients()]:
                yield plugin.recipient(around, to)
            for octets in self.contents():
                yield plugin.content(around, octets)

    def test_every_stage_answers_with_a_reply_a_finding_or_nothing(self) -> None:
        """Signals are texts, headers are whole fields, and there is no exception."""
        for eventual in self._asked(self.make()):
            answer = self.wait(eventual)
            assert answer is None or answers.is_finding(answer), answer


class RouterContract(Contract):
    """`[[route]]`."""

    interface = IRouter

    def questions(self) -> Sequence[tuple[Envelope, Recipient]]:
        """The questions to ask; add those that are special to the plugin."""
        asked = [recipient(), recipient("bob@elsewhere.example"), *odd_recipients()]
        return [(around, each) for around in (envelope(), envelope(None)) for each in asked]

    def test_it_answers_with_a_way_a_refusal_or_nothing(self) -> None:
        """The answer is a Route, a Redirect that has addresses, a negative Reply, or None."""
        plugin = self.make()
        for asked in self.questions():
            answer = self.wait(plugin.route(*asked))
            assert answer is None or answers.is_way(answer), (asked, answer)

    def test_asking_changes_nothing(self) -> None:
        """The same question gets the same answer twice."""
        plugin = self.make()
        for asked in self.questions():
            first, second = (self.wait(plugin.route(*asked)) for _ in range(2))
            assert first == second, (asked, first, second)


class DeliveryAgentContract(Contract):
    """`[deliver.NAME]`: `arrived` reads back what was delivered, if a test can do that."""

    interface = IDeliveryAgent

    def route(self, to: Recipient) -> Route:
        """A route that this agent accepts."""
        return Route("agent", recipient=to, mailbox=to.address)

    def arrived(self, route: Route) -> bytes | None:
        """The octets that this recipient got; None if there is no way to look."""
        return None

    def test_each_route_gets_one_outcome(self) -> None:
        """Delivered, deferred or failed: one outcome for each recipient, and none for others."""
        routes = [self.route(recipient(to)) for to in ("bob@example.org", "eve@example.org")]
        _all_sound(self._deliver(message(), routes), routes)

    def test_odd_recipients_get_an_outcome_too(self) -> None:
        """Whatever the local part, there is no exception, and each recipient has an outcome."""
        routes = [self.route(each) for each in odd_recipients()]
        _all_sound(self._deliver(message(), routes), routes)

    def test_what_it_calls_delivered_has_arrived_whole(self) -> None:
        """Every octet of prefix and body has arrived, if the test can look."""
        octets = content(b"Subject: whole\r\n\r\n.dot\r\nFrom here\r\n", prefix=b"X-Top: 1\r\n")
        around = envelope("alice@client.example", "bob@example.org")
        route = self.route(around.recipients[0])
        (outcome,) = self._deliver(Message(around.id, around, octets), [route])
        found = self.arrived(route)
        if outcome.reply.positive and found is not None:
            assert found.endswith(octets.at_hand or b""), found

    def _deliver(self, given: Message, routes: Sequence[Route]) -> list[Outcome]:
        return list(self.wait(self.make().deliver(given, routes)))


def _all_sound(given: Sequence[Outcome], routes: Sequence[Route]) -> None:
    asked = frozenset(route.recipient for route in routes if route.recipient is not None)
    sound, wrong = answers.sound_outcomes(asked, given)
    assert not wrong, (wrong, given)
    assert len(sound) == len(asked) == len(given), given


class ObserverContract(Contract):
    """`[[observe]]`."""

    interface = IObserver

    def events(self) -> Sequence[Event]:
        """The events that it is told; facts are texts, numbers, lists and dicts of these."""
        facts: Mapping[str, object] = {"sender": "<>", "signals": {"spf": "fail"}, "to": ["a@b"]}
        return [
            Event(1.5, "relay", "550 5.7.1 Relaying denied", "", "M1", "S1", 0.25, facts),
            Event(2.5, "deliver", "delivered", "maildir", "M1", "", 12.0, {"attempts": 1}),
            Event(0.0, "session", "closed"),
            Event(3.0, "filter", "line\nbreak \x00 \u2028 ü", "x", facts={"x": None}),
        ]

    def test_it_says_what_it_wants(self) -> None:
        """`wants` is None for everything, or a frozenset of stages."""
        wants = self.make().wants
        assert wants is None or (
            isinstance(wants, frozenset) and all(isinstance(stage, str) for stage in wants)
        ), wants

    def test_it_takes_every_event_at_once(self) -> None:
        """It raises no exception, and its caller does not have to wait."""
        plugin = self.make()
        for event in self.events():
            assert plugin.observe(event) is None, event


class CheckerContract(Contract):
    """`[[auth]]`: `good` is a name and a password that the plugin accepts."""

    interface = ICredentialsChecker
    good: tuple[str, str]

    def ask(self, plugin: Any, name: bytes, password: bytes) -> Any:
        """The avatar's id; None if it refused."""
        try:
            return self.wait(plugin.requestAvatarId(UsernamePassword(name, password)))
        except Unauthorized:
            return None

    def test_it_lets_the_right_password_in(self) -> None:
        """The answer is the user's name."""
        name, password = (text.encode() for text in self.good)
        assert answers.user_name(self.ask(self.make(), name, password))

    def test_it_lets_nobody_else_in(self) -> None:
        """Wrong, empty and odd credentials are refused, without any other exception."""
        plugin = self.make()
        name, password = (text.encode() for text in self.good)
        for wrong in (b"", b"wrong", password + b"x", password[:-1], b"\xff\x00", b"x" * 10000):
            assert self.ask(plugin, name, wrong) is None, wrong
        for nobody in (b"", b"nobody", b"\xff", b"../x", name + b"\x00", b"x" * 10000):
            assert self.ask(plugin, nobody, password) is None, nobody


__all__ = [
    "CertificateCheckerContract",
    "CheckerContract",
    "Contract",
    "DeliveryAgentContract",
    "FilterContract",
    "ObserverContract",
    "RelayPolicyContract",
    "RouterContract",
    "StoredKeysContract",
    "TokenCheckerContract",
    "odd_recipients",
]

"""Departure hooks and TLS policies where mail really leaves: what the next host is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scripted_peer import FULL, Network, Peer, message, recipients
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailframe.message import (
    Content,
    Departed,
    Message,
    NextHop,
    Outcome,
    Recipient,
    Route,
    Status,
    TlsDemand,
)
from mailframe.message.rewritten import on_top
from mailframe.smtp.address import Mailbox
from mailframe.smtp.reply import Reply

EIGHT = (
    "Subject: grüß\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGrüße\r\n"
)
TOP = "Signed: yes"


class Hook:
    """What departure hooks come to; `seen` are the messages that they were shown."""

    def __init__(self, **senders: str) -> None:
        self.senders = {key: Mailbox.parse(text) for key, text in senders.items()}
        self.answer: Any = None
        self.seen: list[tuple[Message, Sequence[Route]]] = []

    def depart(self, message: Message, routes: Sequence[Route]) -> Any:
        self.seen.append((message, routes))
        if self.answer is not None:
            return self.answer
        senders: dict[Recipient, Mailbox] = {}
        for route in routes:
            if route.recipient is not None and route.recipient.address.local in self.senders:
                senders[route.recipient] = self.senders[route.recipient.address.local]
        content = on_top(message.content, [TOP])
        return Departed(Message(message.id, message.envelope, content), senders)


class LeavingCase(SynchronousTestCase):
    def deliver(
        self, network: Network, *to: str, hop: NextHop | None = None, **envelope: Any
    ) -> list[Outcome]:
        mail = message(**envelope)
        return self.successResultOf(
            network.begin(mail, recipients(*to or ("r@peer.example",)), hop)
        )


class TestDeparture(LeavingCase):
    def test_what_hooks_made_of_it_is_sent(self) -> None:
        """With its own size; the hooks are told who gets it, and by which agent."""
        hook = Hook()
        network = Network(depart=hook.depart, agent="out")
        [outcome] = self.deliver(network)
        assert outcome.status is Status.PASSED_ON
        [sent] = network.peer.messages
        assert sent == b"Signed: yes\r\nSubject: hi\r\n\r\nhello\r\n"
        assert f"SIZE={len(sent)}" in network.peer.said[1]
        [(_, [route])] = hook.seen
        assert route.agent == "out" and route.next_hop == NextHop("peer.example")

    def test_the_form_that_leaves_is_shown(self) -> None:
        """After the conversion to 7 bits, so that a signature is of what the next host reads."""
        octets = EIGHT.replace("grüß", "x").encode()
        for extensions, form in (((), "7BIT"), (("8BITMIME",), "8BITMIME")):
            hook = Hook()
            network = Network(Peer(extensions=extensions), depart=hook.depart)
            self.deliver(network, octets=octets, body="8BITMIME")
            [(shown, _)] = hook.seen
            assert shown.envelope.body == form
            shown_octets = shown.content.at_hand or b""
            assert shown_octets.isascii() is (form == "7BIT")
            assert network.peer.messages == [TOP.encode() + b"\r\n" + shown_octets]

    def test_smtputf8_is_shown_as_it_leaves(self) -> None:
        """A message that only asked for it leaves without to a host that has it not."""
        for extensions, utf8 in ((FULL, True), ((), False)):
            hook = Hook()
            network = Network(Peer(extensions=extensions), depart=hook.depart)
            [outcome] = self.deliver(network, smtputf8=True)
            assert outcome.reply.positive
            assert hook.seen[0][0].envelope.smtputf8 is utf8

    def test_asked_once_for_each_form(self) -> None:
        """However many transactions and exchanges there are."""
        hook = Hook()
        network = Network(Peer(says={"RCPT": ["250 ok", "452 4.5.3 too many"]}), depart=hook.depart)
        outcomes = self.deliver(network, "a@peer.example", "b@peer.example")
        assert [each.status for each in outcomes] == [Status.PASSED_ON] * 2
        assert len(network.peer.messages) == 2 and len(hook.seen) == 1
        assert len(hook.seen[0][1]) == 2

    def test_each_sender_has_its_transaction(self) -> None:
        """Over one connection; the others keep the envelope's."""
        hook = Hook(a="bounces+a@us.example", c="bounces+a@us.example", d="bounces+d@us.example")
        network = Network(depart=hook.depart)
        to = [f"{name}@peer.example" for name in "abcd"]
        outcomes = self.deliver(network, *to)
        assert [each.recipient.address.local for each in outcomes] == list("abcd")
        assert all(each.status is Status.PASSED_ON for each in outcomes)
        assert len(network.peer.sessions) == 1
        said = [line.split(" SIZE")[0].split(" ORCPT")[0] for line in network.peer.said]
        assert [line for line in said if line.startswith(("MAIL", "RCPT"))] == [
            "MAIL FROM:<bounces+a@us.example>",
            "RCPT TO:<a@peer.example>",
            "RCPT TO:<c@peer.example>",
            "MAIL FROM:<s@client.example>",
            "RCPT TO:<b@peer.example>",
            "MAIL FROM:<bounces+d@us.example>",
            "RCPT TO:<d@peer.example>",
        ]

    def test_a_lists_owner_is_shown_and_may_be_replaced(self) -> None:
        """The sender of the copies counts, not the envelope's."""
        hook = Hook(r="srs0@us.example")
        network = Network(depart=hook.depart)
        owner = Mailbox("owner", "list.example")
        to = [Recipient(Mailbox("r", "peer.example"), sender=owner)]
        self.successResultOf(network.begin(message(), to))
        assert hook.seen[0][0].envelope.sender == owner
        assert network.peer.said[1].startswith("MAIL FROM:<srs0@us.example>")

    def test_kept_here(self) -> None:
        """In the hook's words, for now or for good; no other exchange is asked."""
        for reply, status in (
            (Reply(451, "no key yet", "4.7.0"), Status.DEFERRED),
            (Reply(550, "confidential", "5.7.1"), Status.FAILED),
        ):
            hook = Hook()
            hook.answer = reply
            network = Network(depart=hook.depart)
            network.zone.mxs["peer.example"] = [(10, "mx.peer.example"), (20, "mx2.peer.example")]
            network.zone.hosts["mx2.peer.example"] = ["9.9.9.10"]
            [outcome] = self.deliver(network)
            assert (outcome.status, outcome.reply, outcome.ours) == (status, reply, True)
            assert network.world.dialled == ["9.9.9.9"]
            assert not any(line.startswith("MAIL") for line in network.peer.said)

    def test_an_answer_may_come_later(self) -> None:
        """The connection waits."""
        hook = Hook()
        hook.answer = Deferred()
        network = Network(depart=hook.depart)
        begun = network.begin(message(), recipients("r@peer.example"))
        self.assertNoResult(begun)
        hook.answer.callback(Departed(message(b"A: b\r\n\r\n")))
        network.world.run()
        [outcome] = self.successResultOf(begun)
        assert outcome.reply.positive and network.peer.messages == [b"A: b\r\n\r\n"]

    def test_a_store_that_cannot_be_read(self) -> None:
        """Deferred, and nothing of it was sent."""
        hook = Hook()
        hook.answer = Deferred()
        network = Network(depart=hook.depart)
        begun = network.begin(message(), recipients("r@peer.example"))
        hook.answer.errback(OSError("gone"))
        network.world.run()
        [outcome] = self.successResultOf(begun)
        assert outcome.status is Status.DEFERRED and network.peer.messages == []

    def test_too_large_with_what_was_added(self) -> None:
        """SIZE is of what leaves."""
        body = b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n"
        hook = Hook()
        peer = Peer(extensions=(f"SIZE {len(body)}",))
        [outcome] = self.deliver(Network(peer, depart=hook.depart), octets=body)
        assert outcome.status is Status.FAILED and outcome.reply.status == "5.3.4"


class Demands:
    """What TLS policies come to, by exchange."""

    def __init__(self, **by_exchange: Any) -> None:
        self.by_exchange = by_exchange
        self.asked: list[tuple[str, str]] = []

    def demand(self, domain: str, exchange: str) -> Any:
        self.asked.append((domain, exchange))
        return self.by_exchange.get(exchange.partition(".")[0])


def two_exchanges(network: Network) -> Peer:
    """A second exchange beside the first."""
    network.zone.mxs["peer.example"] = [(10, "mx.peer.example"), (20, "mx2.peer.example")]
    network.zone.hosts["mx2.peer.example"] = ["9.9.9.10"]
    second = network.world.peers["9.9.9.10", 25] = Peer(domain="mx2.peer.example")
    return second


class TestTlsPolicy(LeavingCase):
    def test_asked_for_the_domain_and_each_exchange(self) -> None:
        """By the names that DNS has."""
        demands = Demands()
        network = Network(Peer(says={"MAIL": "451 4.3.0 later"}), demand=demands.demand)
        two_exchanges(network)
        self.deliver(network, hop=NextHop("Peer.Example"))
        assert demands.asked == [
            ("peer.example", "mx.peer.example"),
            ("peer.example", "mx2.peer.example"),
        ]

    def test_a_host_without_tls_is_passed_over(self) -> None:
        """Where it is demanded; the next exchange is asked what it can."""
        network = Network(demand=Demands(mx=TlsDemand("require")).demand)
        second = two_exchanges(network)
        [outcome] = self.deliver(network)
        assert outcome.status is Status.PASSED_ON and outcome.remote == "mx2.peer.example"
        assert network.peer.messages == [] and len(second.messages) == 1

    def test_nothing_is_sent_where_tls_is_demanded_of_all(self) -> None:
        """It waits."""
        network = Network(demand=Demands(mx=TlsDemand("verify")).demand)
        [outcome] = self.deliver(network)
        assert outcome.status is Status.DEFERRED and outcome.reply.status == "4.7.10"

    def test_an_exchange_that_must_not_be_used_is_not_dialled(self) -> None:
        """And the policy's words are the reason."""
        refusal = Reply(451, "not an exchange of its policy", "4.7.0")
        network = Network(demand=Demands(mx=refusal).demand)
        [outcome] = self.deliver(network)
        assert (outcome.status, outcome.reply, outcome.ours) == (Status.DEFERRED, refusal, True)
        assert network.world.dialled == []
        second = two_exchanges(network)
        [outcome] = self.deliver(network)
        assert outcome.remote == "mx2.peer.example" and len(second.messages) == 1

    def test_a_resting_connection_must_do(self) -> None:
        """One that was opened in the clear is not used while TLS is demanded."""
        demands = Demands()
        network = Network(demand=demands.demand)
        self.deliver(network)
        self.deliver(network)
        assert len(network.peer.sessions) == 1
        demands.by_exchange["mx"] = TlsDemand("require")
        [outcome] = self.deliver(network)
        assert outcome.status is Status.DEFERRED and outcome.reply.status == "4.7.10"
        assert len(network.peer.messages) == 2
        demands.by_exchange["mx"] = TlsDemand("opportunistic", policy="sts testing")
        [outcome] = self.deliver(network)
        assert outcome.status is Status.PASSED_ON and len(network.peer.messages) == 3

    def test_an_answer_may_come_later(self) -> None:
        """Nobody is dialled before."""
        waiting: Deferred[TlsDemand | None] = Deferred()
        network = Network(demand=Demands(mx=waiting).demand)
        begun = network.begin(message(), recipients("r@peer.example"))
        assert network.world.dialled == []
        waiting.callback(None)
        network.world.run()
        assert self.successResultOf(begun)[0].status is Status.PASSED_ON

    def test_literals_and_sockets(self) -> None:
        """An address is asked about by itself, a socket of this machine not at all."""
        demands = Demands()
        network = Network(demand=demands.demand)
        self.deliver(network, hop=NextHop("[9.9.9.9]", "host"))
        assert demands.asked == [("[9.9.9.9]", "9.9.9.9")]
        begun = network.begin(message(), recipients("r@x.example"), NextHop("/no/socket", "unix"))
        begun.cancel()
        self.successResultOf(begun.addErrback(lambda failure: None))
        assert len(demands.asked) == 1


def test_content_is_the_callers() -> None:
    """What is put on top changes nothing of the message in the queue."""
    stored = Content(b"A: 1\r\n", b"B: 2\r\n\r\n", 8)
    assert on_top(stored, ["C: 3"]).at_hand == b"C: 3\r\nA: 1\r\nB: 2\r\n\r\n"
    assert stored.at_hand == b"A: 1\r\nB: 2\r\n\r\n"

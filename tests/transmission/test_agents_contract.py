"""The SMTP and LMTP agents keep what every delivery agent promises."""

from __future__ import annotations

from typing import Any

from scripted_peer import Network, Peer, World, message, recipients
from twisted.trial.unittest import SynchronousTestCase

from mailframe.eventual import at_once
from mailframe.message import NextHop, Recipient, Route, Status
from mailframe.smtp.address import Mailbox
from mailframe.testing.dns import StaticResolver
from mailframe.testing.hooks import result_of
from mailframe.testing.plugins import DeliveryAgentContract
from mailframe.testing.values import site
from mailframe.transmission.agent import Agent
from mailframe_plugins import deliver_lmtp, deliver_smtp

ZONE = """
    example.org      MX 10 mx.peer.example
    mx.peer.example  A  9.9.9.9
"""


class AgentCase(DeliveryAgentContract):
    peer: Peer

    def setUp(self) -> None:
        self.world = World()

    def wait(self, eventual: Any) -> Any:
        begun = at_once(eventual)
        self.world.run()
        return result_of(begun)

    def arrived(self, route: Route) -> bytes | None:
        return self.peer.messages[-1]


class TestSmtpAgent(AgentCase, SynchronousTestCase):
    def make(self) -> Agent:
        self.peer = Peer()
        self.world.peers["9.9.9.9", 25] = self.peer
        lent = site(reactor=self.world, resolver=StaticResolver(ZONE))
        return deliver_smtp.build(deliver_smtp.Settings(), lent)


class TestLmtpAgent(AgentCase, SynchronousTestCase):
    def make(self) -> Agent:
        self.peer = Peer(lmtp=True)
        self.world.peers["127.0.0.1", 24] = self.peer
        settings = deliver_lmtp.Settings(host="127.0.0.1")
        return deliver_lmtp.build(settings, site(reactor=self.world))

    def test_the_mailboxes_are_delivered(self) -> None:
        """RFC 2033: what the store takes is in the mailbox; it is told the address."""
        [recipient] = recipients("bob+tag@example.org")
        agent = self.make()
        route = Route("store", recipient, Mailbox("bob", "example.org"), "tag")
        [outcome] = self.wait(agent.deliver(message(), [route]))
        assert outcome.status is Status.DELIVERED
        assert self.peer.said[0] == "LHLO mx.example.org"
        assert "RCPT TO:<bob+tag@example.org>" in self.peer.said[2]
        assert self.peer.messages == [message().content.at_hand]  # no Return-Path of ours


class TestGroups(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = Network()
        self.agent = Agent(
            self.network.courier,
            self.network.pool,
            self.network.world,
            lambda route: route.next_hop,
        )

    def deliver(self, *routes: Route, **envelope: Any) -> Any:
        begun = at_once(self.agent.deliver(message(**envelope), routes))
        self.network.world.run()
        return result_of(begun)

    def route(self, address: str, owner: str = "", hop: NextHop | None = None) -> Route:
        sender = Mailbox.parse(owner) if owner else None
        recipient = Recipient(Mailbox.parse(address), sender=sender)
        return Route("smtp", recipient, next_hop=hop or NextHop("peer.example"))

    def test_recipients_of_one_next_hop_and_sender_share_a_transaction(self) -> None:
        """A list's owner is the reverse-path of its copies alone."""
        self.deliver(
            self.route("a@peer.example"),
            self.route("b@peer.example", "owner@list.example"),
            self.route("c@peer.example"),
            self.route("d@peer.example", "owner@list.example"),
        )
        said = [line.partition(" SIZE")[0] for line in self.network.peer.said[1:] if ":" in line]
        assert [line.split(" ORCPT")[0] for line in said] == [
            "MAIL FROM:<s@client.example>",
            "RCPT TO:<a@peer.example>",
            "RCPT TO:<c@peer.example>",
            "MAIL FROM:<owner@list.example>",
            "RCPT TO:<b@peer.example>",
            "RCPT TO:<d@peer.example>",
        ]

    def test_a_report_stays_without_a_sender(self) -> None:
        """The null reverse-path is not replaced by a list's owner: no bounce of a bounce."""
        self.deliver(self.route("b@peer.example", "owner@list.example"), sender=None)
        assert self.network.peer.said[1].startswith("MAIL FROM:<> ")

    def test_routes_without_a_next_hop_wait(self) -> None:
        """The operator sends local mail to an agent that needs a next hop, say."""
        [recipient] = recipients("a@peer.example")
        [outcome] = self.deliver(Route("smtp", recipient))
        assert outcome.status is Status.DEFERRED and outcome.recipient is recipient

    def test_routes_without_a_recipient_are_a_mistake(self) -> None:
        """Whoever calls the agent has to fill it in."""
        self.assertRaises(ValueError, self.deliver, Route("smtp", None))

    def test_stopping_waits_for_work_and_ends_it_after_a_while(self) -> None:
        """Ten seconds of grace."""
        self.agent.startService()
        self.network.peer.says["DOT"] = ["hang"]
        routes = [self.route("a@peer.example")]
        begun = self.network.begin(message(), [r.recipient for r in routes if r.recipient])
        stopped = self.agent.stopService()
        self.assertNoResult(stopped)
        self.network.pass_time(11)
        self.successResultOf(stopped)
        assert self.successResultOf(begun)[0].status is Status.DEFERRED
        assert not self.network.world.getDelayedCalls()

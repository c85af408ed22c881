"""`[deliver.smtp]`: settings, and a message over a real socket."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThread
from twisted.protocols.basic import LineReceiver
from twisted.trial.unittest import TestCase

from mailframe.message import Content, NextHop, Recipient, Route, Status
from mailframe.plugin import SettingError
from mailframe.smtp.address import Mailbox
from mailframe.testing.dns import StaticResolver
from mailframe.testing.values import message, site
from mailframe_plugins.deliver_smtp import Settings, build

LARGE = b"Subject: large\r\n\r\n" + b"..a line of some length, to be sent often\r\n" * 60000


class Sink(LineReceiver):
    """Takes everything, and keeps it in its factory."""

    factory: Any
    MAX_LENGTH = 1 << 20

    def connectionMade(self) -> None:
        self.in_content = False
        self.sendLine(b"220 sink.example")

    def lineReceived(self, line: bytes) -> None:
        if self.in_content:
            if line == b".":
                self.in_content = False
                self.factory.messages.append(b"".join(self.lines))
                self.sendLine(b"250 2.0.0 taken")
            else:
                self.lines.append(line.removeprefix(b".") + b"\r\n")
        elif line == b"DATA":
            self.in_content, self.lines = True, list[bytes]()
            self.sendLine(b"354 go")
        elif line.startswith(b"EHLO"):
            self.sendLine(b"250-sink.example\r\n250 PIPELINING")
        else:
            self.sendLine(b"250 ok")


class SinkFactory(Factory):
    """The sink."""

    protocol = Sink
    noisy = False

    def __init__(self) -> None:
        self.messages: list[bytes] = []


class TestDeliverSmtp(TestCase):
    timeout = 20

    async def listen(self) -> tuple[SinkFactory, int]:
        from twisted.internet import reactor

        factory = SinkFactory()
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        return factory, port.getHost().port

    def agent(self, port: int, zone: str, **settings: Any) -> Any:
        from twisted.internet import reactor

        lent = site(reactor=reactor, resolver=StaticResolver(zone), in_thread=deferToThread)
        agent = build(Settings(port=port, **settings), lent)
        agent.startService()
        self.addCleanup(agent.stopService)
        return agent

    async def test_mail_goes_to_the_domains_exchange(self) -> None:
        """Found by MX, dialled on the port that is set; a route may name another next hop."""
        sink, port = await self.listen()
        zone = "there.example MX 5 mx.there.example\nmx.there.example A 127.0.0.1"
        agent = self.agent(port, zone, private=True)
        routes = [
            Route("smtp", Recipient(Mailbox("bob", "there.example"))),
            Route(
                "smtp",
                Recipient(Mailbox("eve", "else.example")),
                next_hop=NextHop("127.0.0.1", "host", port=port),
            ),
        ]
        outcomes = await agent.deliver(message(), routes)
        assert [each.status for each in outcomes] == [Status.RELAYED] * 2
        assert outcomes[0].remote == "mx.there.example"
        assert sink.messages == [message().content.at_hand] * 2

    async def test_large_messages_are_streamed_from_the_store(self) -> None:
        """Read in a thread, block by block, and whole at the other end."""
        sink, port = await self.listen()
        agent = self.agent(port, "", private=True)
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        stored = Path(folder.name) / "body"
        stored.write_bytes(LARGE)
        content = Content(b"X-Top: 1\r\n", lambda: stored.open("rb"), len(LARGE))
        route = Route(
            "smtp", Recipient(Mailbox("bob", "x.example")), next_hop=NextHop("[127.0.0.1]")
        )
        [outcome] = await agent.deliver(replace(message(), content=content), [route])
        assert outcome.status is Status.RELAYED
        assert sink.messages == [b"X-Top: 1\r\n" + LARGE]

    async def test_loopback_is_not_dialled_for_strangers(self) -> None:
        """Without `private`, an MX that points here leads nowhere."""
        sink, port = await self.listen()
        agent = self.agent(port, "there.example A 127.0.0.1")
        [outcome] = await agent.deliver(
            message(), [Route("smtp", Recipient(Mailbox("bob", "there.example")))]
        )
        assert outcome.status is Status.FAILED and outcome.reply.status == "5.4.4"
        assert not sink.messages

    async def test_nobody_at_home(self) -> None:
        """A domain that is not there, a host that is not up, a recipient without a domain."""
        _, port = await self.listen()
        agent = self.agent(port, "down.example A 127.0.0.2", private=True)
        recipients = [("a", "no.example"), ("b", "down.example"), ("postmaster", "")]
        routes = [Route("smtp", Recipient(Mailbox(*each))) for each in recipients]
        outcomes = await agent.deliver(message(), routes)
        statuses = {str(each.recipient.address): each.reply.status for each in outcomes}
        assert statuses == {
            "a@no.example": "5.1.2",
            "b@down.example": "4.4.1",
            "postmaster": "4.3.5",
        }


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("port", 0),
        ("port", 70000),
        ("connections", 0),
        ("messages", 0),
        ("recipients", 0),
        ("addresses", -1),
        ("bind", ("eth0",)),
        ("helo", "not a name"),
        ("authorities", Path("/nowhere/ca.pem")),
        ("certificate", Path("/nowhere/own.pem")),
    ],
)
def test_wrong_settings_are_named(key: str, value: Any) -> None:
    """The operator reads which one, before any mail is tried."""
    with pytest.raises(SettingError) as raised:
        build(Settings(**{key: value}), site())
    assert raised.value.key == key


def test_right_settings() -> None:
    """Addresses to dial from, a name of one's own."""
    assert build(Settings(helo="out.example.org", bind=("192.0.2.1", "2001:db8::1")), site())

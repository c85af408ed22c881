"""`[deliver.NAME] plugin = "lmtp"`: settings, and a message over a real unix socket."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from twisted.internet.endpoints import UNIXServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThread
from twisted.protocols.basic import LineReceiver
from twisted.trial.unittest import TestCase

from mailframe.message import Recipient, Route, Status
from mailframe.plugin import SettingError
from mailframe.smtp.address import Mailbox
from mailframe.testing.values import message, site
from mailframe_plugins.deliver_lmtp import Settings, build


class Store(LineReceiver):
    """An LMTP server whose user "full" has no room."""

    factory: Any
    in_content = False

    def connectionMade(self) -> None:
        self.sendLine(b"220 store.example LMTP")
        self.recipients: list[bytes] = []
        self.said: list[bytes] = []  # all recipients

    def lineReceived(self, line: bytes) -> None:
        if self.in_content:
            if line == b".":
                self.in_content = False
                for recipient in self.recipients:
                    self.sendLine(b"452 4.2.2 full" if b"full@" in recipient else b"250 2.0.0 in")
        elif line.startswith(b"LHLO"):
            self.sendLine(b"250-store.example\r\n250 PIPELINING")
        elif line == b"DATA":
            self.in_content = True
            self.sendLine(b"354 go")
        else:
            if line.startswith(b"RCPT"):
                self.recipients.append(line)
                self.said.append(line)
            self.sendLine(b"250 ok")


class TestDeliverLmtp(TestCase):
    timeout = 20

    async def test_each_mailbox_has_its_own_outcome(self) -> None:
        """Over a unix socket, where the store answers for one recipient after the other."""
        from twisted.internet import reactor

        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name) / "lmtp"
        factory = Factory.forProtocol(Store)
        factory.noisy = False
        port = await UNIXServerEndpoint(reactor, str(path)).listen(factory)  # type: ignore[no-untyped-call]
        self.addCleanup(port.stopListening)
        agent = build(Settings(path=path), site(reactor=reactor, in_thread=deferToThread))
        agent.startService()
        self.addCleanup(agent.stopService)
        boxes = [Mailbox(local, "example.org") for local in ("bob", "full", "eve")]
        routes = [Route("store", Recipient(box), box) for box in boxes]
        outcomes = await agent.deliver(message(), routes)
        assert [each.status for each in outcomes] == [
            Status.DELIVERED,
            Status.DEFERRED,
            Status.DELIVERED,
        ]
        assert outcomes[1].reply.status == "4.2.2"

    async def test_the_postmaster_has_a_domain(self) -> None:
        """That of the mailbox in the route, or our own; the outcome is about what was asked."""
        from twisted.internet import reactor

        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name) / "lmtp"
        stores: list[Store] = []
        factory = Factory.forProtocol(Store)
        factory.noisy = False
        factory.buildProtocol = lambda address: stores.append(Store()) or stores[-1]
        port = await UNIXServerEndpoint(reactor, str(path)).listen(factory)  # type: ignore[no-untyped-call]
        self.addCleanup(port.stopListening)
        agent = build(Settings(path=path), site(reactor=reactor, in_thread=deferToThread))
        agent.startService()
        self.addCleanup(agent.stopService)
        bare = Recipient(Mailbox("postmaster", ""))
        ours = Mailbox("postmaster", "example.org")
        routes = [
            Route("store", bare, ours),
            Route("store", Recipient(Mailbox("bob", "b.example"))),
        ]
        outcomes = await agent.deliver(message(), routes)
        assert [each.recipient for each in outcomes] == [route.recipient for route in routes]
        await agent.deliver(message(), [Route("store", bare)])
        [store] = stores
        assert [line.split(b" ")[1] for line in store.said] == [
            b"TO:<postmaster@example.org>",
            b"TO:<bob@b.example>",
            b"TO:<postmaster@mx.example.org>",
        ]

    async def test_a_store_that_is_down_defers(self) -> None:
        """Mail waits until it is up again, and nobody is told that the mailbox is not there."""
        from twisted.internet import reactor

        route = Route("store", Recipient(Mailbox("bob", "example.org")))
        for settings in (Settings(path=Path("/nowhere/lmtp")), Settings(host="127.0.0.1", port=9)):
            agent = build(settings, site(reactor=reactor))
            [outcome] = await agent.deliver(message(), [route])
            assert outcome.status is Status.DEFERRED and outcome.reply.status == "4.4.1"


@pytest.mark.parametrize(
    ("key", "settings"),
    [
        ("path", {}),
        ("path", {"path": Path("/run/lmtp"), "host": "localhost"}),
        ("port", {"host": "localhost", "port": 0}),
        ("connections", {"host": "localhost", "connections": 0}),
        ("messages", {"host": "localhost", "messages": 0}),
        ("recipients", {"host": "localhost", "recipients": 0}),
    ],
)
def test_wrong_settings_are_named(key: str, settings: dict[str, Any]) -> None:
    """The operator reads which one."""
    with pytest.raises(SettingError) as raised:
        build(Settings(**settings), site())
    assert raised.value.key == key

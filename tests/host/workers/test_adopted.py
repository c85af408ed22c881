"""Listening on sockets that somebody else has bound."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from mailframe.host.listening import Listening
from mailframe.settings import Listener


class Greeter(Protocol):
    """Says who it is of, and hangs up."""

    def connectionMade(self) -> None:
        self.transport.write(self.factory.name)  # type: ignore[union-attr]
        self.transport.loseConnection()  # type: ignore[union-attr]


class Greeters(ServerFactory):
    protocol = Greeter
    noisy = False

    def __init__(self, name: bytes = b"") -> None:
        self.name = name


def greeting(family: int, address: Any) -> bytes:
    """What the first to answer says. In a thread."""
    with socket.socket(family) as client:
        client.settimeout(5)
        client.connect(address)
        return client.recv(100)


class HandedTests(TestCase):
    """A supervisor's ports and two workers' in this process."""

    timeout = 20

    async def shared(self, endpoint: str, family: int) -> None:
        """One takes over from the other, and the port outlives both."""
        listener = Listener("mx", endpoint)
        held = Listening(reactor, taking=False)
        held.bind(listener, Greeters(b"nobody"))
        host, port = held.addresses()["mx"]
        address = (host, port) if port else host
        first = Listening(reactor, held.sockets())
        first.bind(listener, Greeters(b"first"))
        self.assertEqual(first.addresses(), held.addresses())
        self.assertEqual(await deferToThread(greeting, family, address), b"first")
        second = Listening(reactor, held.sockets())
        second.bind(listener, Greeters(b"second"))
        await first.stop()
        self.assertEqual(await deferToThread(greeting, family, address), b"second")
        await second.stop()
        waiting = deferToThread(greeting, family, address)  # in the port's queue
        third = Listening(reactor, held.sockets())
        third.bind(listener, Greeters(b"third"))
        self.assertEqual(await waiting, b"third")
        await third.stop()
        await held.stop()
        with self.assertRaises(OSError):
            greeting(family, address)

    def test_tcp(self) -> Any:
        """A TCP port."""
        return self.coroutine(self.shared("tcp:0:interface=127.0.0.1", socket.AF_INET))

    def test_unix(self) -> Any:
        """A unix socket, whose file stays until the one who bound it stops."""
        path = Path(tempfile.mkdtemp()) / "lmtp"
        return self.coroutine(self.shared(f"unix:{path}", socket.AF_UNIX))

    def coroutine(self, of: Any) -> Any:
        from twisted.internet.defer import Deferred

        return Deferred.fromCoroutine(of)

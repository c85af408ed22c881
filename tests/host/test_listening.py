"""Binding listeners, with errors in words."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ServerFactory
from twisted.trial.unittest import TestCase

from mailframe.host import listening
from mailframe.host.listening import Listening, StartError, why
from mailframe.settings import Listener


class ListeningTests(TestCase):
    """On loopback, port 0."""

    def setUp(self) -> None:
        self.listening = Listening(reactor)
        self.addCleanup(self.listening.stop)

    def bind(self, endpoint: str, name: str = "mx") -> None:
        """Listen with a factory that serves nobody."""
        self.listening.bind(Listener(name=name, endpoint=endpoint), ServerFactory())

    async def test_addresses(self) -> None:
        """Port 0 becomes the port that the kernel chose; a unix socket is its path."""
        path = Path(tempfile.mkdtemp()) / "lmtp"
        self.bind("tcp:0:interface=127.0.0.1")
        self.bind(f"unix:{path}", "lmtp")
        await self.listening.all_bound()
        addresses = self.listening.addresses()
        self.assertEqual(addresses["lmtp"], (str(path), 0))
        host, port = addresses["mx"]
        self.assertEqual(host, "127.0.0.1")
        socket.create_connection((host, port)).close()
        await self.listening.stop()
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection((host, port))

    async def test_ipv6_addresses(self) -> None:
        """They are written as everywhere else."""
        self.bind("tcp:0:interface=::1")
        self.bind("[::1]:0", "short")
        await self.listening.all_bound()
        for host, port in self.listening.addresses().values():
            self.assertEqual(host, "::1")
            socket.create_connection((host, port)).close()

    def test_a_taken_port(self) -> None:
        """The error names the listener, the endpoint and the reason."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            endpoint = f"tcp:{other.getsockname()[1]}:interface=127.0.0.1"
            with self.assertRaises(StartError) as caught:
                self.bind(endpoint)
        self.assertEqual(
            str(caught.exception),
            f"listener 'mx' cannot listen on {endpoint}: Address already in use (EADDRINUSE)",
        )

    def test_a_port_that_comes_after_the_stop(self) -> None:
        """An endpoint that takes its time is closed again where nobody wants it any more."""
        late = LateEndpoint()
        self.patch(listening, "serverFromString", lambda *_: late)
        self.bind("late:")
        self.listening.stop()
        late.port.callback(late)
        self.assertTrue(late.stopped)

    async def test_a_failure_that_comes_late(self) -> None:
        """It is told by `all_bound`, not lost."""
        late = LateEndpoint()
        self.patch(listening, "serverFromString", lambda *_: late)
        self.bind("late:")
        bound = self.listening.all_bound()
        late.port.errback(OSError(13, "Permission denied"))
        with self.assertRaises(Exception) as caught:
            await bound
        self.assertIn("Permission denied (EACCES)", str(caught.exception.subFailure.value))


class LateEndpoint:
    """An endpoint whose port comes when the test says so."""

    def __init__(self) -> None:
        self.port: Deferred[Any] = Deferred()
        self.stopped = False

    def listen(self, _factory: object) -> Deferred[Any]:
        return self.port

    def stopListening(self) -> None:
        self.stopped = True


class WhyTests(TestCase):
    """Errors in words."""

    def test_words(self) -> None:
        """errno's name and the file's, or the class where nothing else is known."""
        self.assertEqual(why(OSError(2, "No such file", "/x")), "/x: No such file (ENOENT)")
        self.assertEqual(why(ValueError("bad")), "bad")
        self.assertEqual(why(ValueError()), "ValueError")

"""write_promptly: commands go straight to the socket, and nothing is lost where it is full."""

from __future__ import annotations

import socket
from typing import Any

from socket_kit import Watching, all_that_comes
from twisted.internet import tcp
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from mailframe.wire.prompt import write_promptly


class TestPromptWrites(SynchronousTestCase):
    def setUp(self) -> None:
        self.server, ours = socket.socketpair()
        self.server.setblocking(False)
        self.addCleanup(self.server.close)
        self.addCleanup(ours.close)
        self.reactor = Watching()
        self.transport: Any = tcp.Connection(ours, Protocol(), self.reactor)
        self.transport.connected = 1

    def test_small_command(self) -> None:
        """It is with the server as soon as it is written; no turn of the reactor is asked."""
        write_promptly(self.transport, b"RSET\r\n")
        assert self.server.recv(100) == b"RSET\r\n"
        assert not self.reactor.writers

    def test_full_socket(self) -> None:
        """What does not fit waits, and all that is written later comes behind it, in order."""
        sent = b"".join(b"%07d\n" % number for number in range(1 << 18))
        write_promptly(self.transport, sent)
        write_promptly(self.transport, b"the end")
        assert self.transport in self.reactor.writers
        came = all_that_comes(self.reactor, self.transport, self.server)
        assert came == sent + b"the end"

    def test_server_is_gone(self) -> None:
        """A write that fails is left to the reactor, which finds the connection lost."""
        self.server.close()
        write_promptly(self.transport, b"RSET\r\n")
        assert self.transport in self.reactor.writers
        assert isinstance(self.transport.doWrite(), Exception)

    def test_tls_and_other_transports(self) -> None:
        """What is to be encrypted goes through the transport's own write."""
        said: list[bytes] = []
        self.transport.TLS = True
        self.transport.write = said.append
        write_promptly(self.transport, b"RSET\r\n")
        self.assertRaises(BlockingIOError, self.server.recv, 100)
        assert said == [b"RSET\r\n"]
        other = StringTransport()
        write_promptly(other, b"RSET\r\n")
        assert other.value() == b"RSET\r\n"

"""PromptServer: replies go straight to the socket, and nothing is lost where it is full."""

import socket
from typing import Any

from socket_kit import Watching, all_that_comes
from twisted.internet import tcp
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.protocol import Protocol
from twisted.trial.unittest import SynchronousTestCase

from mailframe.wire.transport import MOST_READ, PromptServer, make_prompt


class Reading(Protocol):
    """Remembers what came, in its pieces."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(data)


class PromptServerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.client, ours = socket.socketpair()
        self.client.setblocking(False)
        ours.setblocking(False)
        self.protocol = Reading()
        self.addCleanup(self.client.close)
        self.addCleanup(ours.close)
        self.reactor = Watching()
        self.transport: Any = PromptServer(
            ours, self.protocol, ("127.0.0.1", 1), tcp.Port(0, None, reactor=self.reactor), 0,
            self.reactor,
        )  # fmt: skip

    def test_small_reply(self) -> None:
        """A reply is with the client as soon as it is written; no turn of the reactor is asked."""
        self.transport.write(b"250 OK\r\n")
        assert self.client.recv(100) == b"250 OK\r\n"
        assert not self.reactor.writers

    def test_full_socket(self) -> None:
        """What does not fit waits, and all that is written later comes behind it, in order."""
        sent = b"".join(b"%07d\n" % number for number in range(1 << 18))
        self.transport.write(sent)
        self.transport.write(b"the end")
        assert self.transport in self.reactor.writers
        came = all_that_comes(self.reactor, self.transport, self.client)
        assert came == sent + b"the end"

    def test_client_is_gone(self) -> None:
        """A write that fails is left to the reactor, which finds the connection lost."""
        self.client.close()
        self.transport.write(b"250 OK\r\n")
        assert self.transport in self.reactor.writers
        assert isinstance(self.transport.doWrite(), Exception)

    def test_reading(self) -> None:
        """What waits is read at once, however few octets of replies may wait for the client."""
        self.transport.bufferSize = 100
        self.transport.most_read = MOST_READ
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST_READ * 2)
        sent = self.client.send(b"x" * MOST_READ)
        assert sent > 100
        assert self.transport.doRead() is None
        assert self.protocol.pieces == [b"x" * sent]
        assert self.transport.doRead() is None
        assert self.protocol.pieces == [b"x" * sent]

    def test_the_last_read(self) -> None:
        """The end that the client says is an orderly one, a reset is a loss."""
        self.client.shutdown(socket.SHUT_WR)
        assert self.transport.doRead() is CONNECTION_DONE
        self.transport.write(b"250 OK\r\n")
        self.client.close()  # with a reply unread
        assert self.transport.doRead() is CONNECTION_LOST

    def test_nothing_after_the_end(self) -> None:
        """After the connection is lost nothing is written any more."""
        self.transport.connected = 0
        self.transport.write(b"250 OK\r\n")
        self.assertRaises(BlockingIOError, self.client.recv, 100)

    def test_ports(self) -> None:
        """Only ports of Twisted's own TCP transport are changed."""
        port, other = tcp.Port(0, None), object()
        make_prompt(port)
        make_prompt(other)  # type: ignore[arg-type]
        assert port.transport is PromptServer

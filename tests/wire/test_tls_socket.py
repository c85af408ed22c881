"""TLS on the socket itself: what the client sends and reads, and every way it ends."""

from __future__ import annotations

import socket
import ssl
import tempfile
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL
from socket_kit import Watching
from twisted.internet import tcp
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.protocol import Protocol
from zope.interface import implementer

from mailframe.settings import TlsSettings
from mailframe.testing.certificates import make_authority
from mailframe.wire.certificates import Certificates
from mailframe.wire.tls_socket import RECORD
from mailframe.wire.transport import MOST_READ, ISocketTls, PromptServer

LIVE = Path(tempfile.mkdtemp())
make_authority().issue("mx.example.org").write_live(LIVE)
CERTIFICATES = Certificates(TlsSettings(LIVE), "mx.example.org")


@implementer(ISocketTls, IOpenSSLServerConnectionCreator)
class Server(Protocol):
    """Remembers what it reads."""

    def __init__(self) -> None:
        self.heard = b""
        self.pieces: list[int] = []
        self.handshakes = 0

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        self.pieces.append(len(data))

    def handshakeCompleted(self) -> None:
        self.handshakes += 1

    def serverConnectionOver(self, socket: Any) -> SSL.Connection:
        return CERTIFICATES.server_options().serverConnectionOver(socket)

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        return CERTIFICATES.server_options().serverConnectionForTLS(tlsProtocol)


class Pair:
    """A client's side in memory and our transport, joined by sockets."""

    def __init__(self, before: bytes = b"") -> None:
        self.socket, self.ours = socket.socketpair()
        self.socket.setblocking(False)
        self.reactor = Watching()
        self.server = Server()
        self.transport: Any = PromptServer(
            self.ours, self.server, ("127.0.0.1", 1), tcp.Port(0, None, reactor=self.reactor), 0,
            self.reactor,
        )  # fmt: skip
        self.server.transport = self.transport
        self.transport.write(before)
        self.transport.startTLS(self.server)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.tls = context.wrap_bio(self.incoming, self.outgoing)

    def send(self) -> Any:
        """Give what the client has encrypted to the server; how its last read ended."""
        self.socket.sendall(self.outgoing.read())
        while (end := self.transport.doRead()) is None and self.left():
            pass
        return end

    def left(self) -> bool:
        """Whether octets wait in the server's socket."""
        try:
            return bool(self.ours.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False

    def fetch(self) -> None:
        """Give the client what the server has sent."""
        while True:
            try:
                octets = self.socket.recv(1 << 16)
            except BlockingIOError:
                return
            if not octets:
                self.incoming.write_eof()
                return
            self.incoming.write(octets)

    def shake(self) -> None:
        for _ in range(4):
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                pass
            self.send()
            self.fetch()

    def heard(self) -> bytes:
        """What the client can read."""
        self.fetch()
        said = b""
        while True:
            try:
                piece = self.tls.read(1 << 16)
            except ssl.SSLWantReadError:
                return said
            if not piece:
                return said + b"<end>"
            said += piece


@pytest.fixture
def pair() -> Pair:
    pair = Pair()
    pair.shake()
    assert pair.server.handshakes == 1
    return pair


def test_what_is_said_in_tls_arrives(pair: Pair) -> None:
    """Both ways, and a reply is with the client at once."""
    pair.tls.write(b"EHLO client.example\r\n")
    assert pair.send() is None
    assert pair.server.heard == b"EHLO client.example\r\n"
    pair.transport.write(b"250 mx.example.org\r\n")
    assert not pair.reactor.writers
    assert pair.heard() == b"250 mx.example.org\r\n"
    assert pair.server.handshakes == 1


@pytest.mark.parametrize("most", [1, RECORD, 2 * RECORD, MOST_READ])
def test_no_rest_of_a_record_remains_unseen(pair: Pair, most: int) -> None:
    """The reactor sees the socket, not what OpenSSL holds back; records come together."""
    pair.transport.most_read = most
    pair.tls.write(b"x" * 40_000)
    pair.send()
    assert pair.server.heard == b"x" * 40_000
    assert max(pair.server.pieces) == min(max(most, RECORD), 40_000)


def test_nothing_behind_a_full_record(pair: Pair) -> None:
    """What a record at its longest brings is heard at once, and the connection goes on."""
    pair.tls.write(b"x" * RECORD)
    assert pair.send() is None
    assert pair.server.pieces == [RECORD]


def test_an_end_behind_full_records(pair: Pair) -> None:
    """It is seen in the same read: the reactor would not hear of it again."""
    pair.tls.write(b"x" * 2 * RECORD)
    with pytest.raises(ssl.SSLWantReadError):
        pair.tls.unwrap()
    assert pair.send() is CONNECTION_DONE
    assert pair.server.pieces == [2 * RECORD]


def test_a_client_that_does_not_read(pair: Pair) -> None:
    """What does not fit waits, in order, and is sent as there is room."""
    said = b"".join(b"%07d\n" % number for number in range(1 << 17))
    pair.transport.write(said)
    pair.transport.write(b"the end")
    assert pair.transport in pair.reactor.writers
    came = b""
    while pair.reactor.writers:
        came += pair.heard()
        pair.transport.doWrite()
    assert came + pair.heard() == said + b"the end"


def test_the_client_says_that_it_is_done(pair: Pair) -> None:
    """close_notify is an orderly end."""
    with pytest.raises(ssl.SSLWantReadError):
        pair.tls.unwrap()
    assert pair.send() is CONNECTION_DONE


def test_the_client_breaks_off(pair: Pair) -> None:
    """An end without close_notify is a lost connection."""
    pair.socket.close()
    assert pair.transport.doRead() is CONNECTION_LOST
    assert pair.transport.writeSomeData(b"250 OK\r\n") is CONNECTION_LOST


def test_what_is_no_tls_ends_it() -> None:
    """As a command in the clear behind STARTTLS (CVE-2011-0411): nothing of it is heard."""
    pair = Pair()
    pair.socket.sendall(b"RCPT TO:<x@example.org>\r\n")
    assert pair.transport.doRead() is CONNECTION_LOST
    assert pair.server.heard == b""
    assert pair.server.handshakes == 0


@pytest.mark.parametrize("before", [b"", b"x" * RECORD])
def test_octets_that_were_tampered_with(pair: Pair, before: bytes) -> None:
    """A record whose tag is wrong ends the connection; none of it is heard."""
    pair.tls.write(before + b"QUIT\r\n")
    octets = bytearray(pair.outgoing.read())
    octets[-1] ^= 1
    pair.outgoing.write(bytes(octets))
    assert pair.send() is CONNECTION_LOST
    assert pair.server.heard == before
    with pytest.raises(ssl.SSLError, match=r"(?i)bad.record.mac"):
        pair.heard()


def test_the_end_is_said(pair: Pair) -> None:
    """RFC 8446 section 6.1: close_notify goes before the socket is closed."""
    pair.transport.write(b"221 2.0.0 Bye\r\n")
    pair.transport.socket.shutdown(2)
    assert pair.heard() == b"221 2.0.0 Bye\r\n<end>"


def test_an_end_before_tls_began() -> None:
    """Nothing is there to be said."""
    pair = Pair()
    pair.transport.socket.shutdown(2)
    assert pair.socket.recv(100) == b""


def test_the_socket_can_still_be_set(pair: Pair) -> None:
    """Twisted sets its options for an abort."""
    pair.transport.setTcpKeepAlive(True)
    assert pair.transport.getTcpKeepAlive()
    assert pair.transport.socket.fileno() == pair.ours.fileno()
    pair.transport.socket.close()
    assert pair.ours.fileno() == -1


def test_what_is_to_be_sent_in_the_clear_goes_first() -> None:
    """A reply that the socket did not take yet must not be encrypted: Twisted's own TLS waits."""
    pair = Pair(before=b"220 go ahead\r\n" * (1 << 16))
    assert pair.transport.TLS
    assert pair.transport.socket is pair.ours

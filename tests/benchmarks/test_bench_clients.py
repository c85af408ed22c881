"""The clients of the benchmarks against a small server of their own."""

from __future__ import annotations

import contextlib
import socketserver
import ssl
import sys
import threading
from collections.abc import Iterator

import pytest

from benchmarks import client, tls_load
from benchmarks.peers.running import certificate

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="epoll and /proc are Linux'")


class Served(socketserver.ThreadingTCPServer):
    """Takes mail; what it saw is in its attributes."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 50

    def __init__(self, context: ssl.SSLContext, refuses: bytes = b"") -> None:
        super().__init__(("127.0.0.1", 0), Session)
        self.context, self.refuses = context, refuses
        self.messages: list[bytes] = []
        self.resumed: list[bool | None] = []


class Session(socketserver.BaseRequestHandler):
    """One client."""

    server: Served

    def handle(self) -> None:
        self.answer(b"220-mx\r\n220 ready\r\n")
        while line := self.lines.readline():
            verb = line.split()[0].upper()
            if verb == self.server.refuses:
                self.answer(b"451 not now\r\n")
            elif verb == b"STARTTLS":
                self.answer(b"220 go\r\n")
                self.request = self.server.context.wrap_socket(self.request, server_side=True)
                self.server.resumed.append(self.request.session_reused)
                self.lines = self.request.makefile("rb")
            elif verb == b"DATA":
                self.answer(b"354 go on\r\n")
                self.server.messages.append(b"".join(iter(self.lines.readline, b".\r\n")))
                self.answer(b"250 taken\r\n")
            else:
                self.answer(b"250-one\r\n250 two\r\n")
            if verb == b"QUIT":
                return

    def setup(self) -> None:
        self.lines = self.request.makefile("rb")

    def answer(self, octets: bytes) -> None:
        self.request.sendall(octets)


@pytest.fixture(scope="module")
def context(tmp_path_factory) -> ssl.SSLContext:
    """What the server shows."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate(tmp_path_factory.mktemp("bench")))
    return context


@contextlib.contextmanager
def serving(context: ssl.SSLContext, refuses: bytes = b"") -> Iterator[Served]:
    """The server at work."""
    with Served(context, refuses) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("tls", [False, True])
def test_a_session_brings_one_message(context, tls) -> None:
    """In the clear or inside of TLS; its time is that of the whole session."""
    with serving(context) as server:
        took = client.bring(
            server.server_address[1], client.commands(640), client.trusting() if tls else None
        )
    assert server.messages == [client.message(640)]
    assert len(server.resumed) == tls
    assert 0 < took < 10


def test_many_sessions_share_a_thread(context) -> None:
    """Each message has a full handshake of its own, and none is sent twice."""
    with serving(context) as server:
        tls_load.Crowd(server.server_address[1], 25, 4096).run(10)
    assert server.messages == [client.message(4096)] * 25
    assert server.resumed == [False] * 25


def test_a_message_larger_than_the_socket_takes(context) -> None:
    """What does not go out at once waits for its turn."""
    with serving(context) as server:
        tls_load.Crowd(server.server_address[1], 2, 8 << 20).run(2)
    assert [len(each) for each in server.messages] == [len(client.message(8 << 20))] * 2


@pytest.mark.parametrize("verb", [b"STARTTLS", b"RCPT"])
def test_a_refusal_ends_the_load(context, verb) -> None:
    """A server that refuses is not measured."""
    with serving(context, verb) as server, pytest.raises(ConnectionError, match="451 not now"):
        tls_load.Crowd(server.server_address[1], 3, 64).run(1)


def test_a_probe_that_is_refused_says_so(context) -> None:
    """Its waits would be those of no message."""
    with serving(context, b"MAIL") as server, pytest.raises(ConnectionError, match="451"):
        with client.Probe(server.server_address[1]) as probe:
            probe._thread.join(10)


@pytest.mark.parametrize(
    ("heard", "ends"),
    [(b"", False), (b"250 o", False), (b"250-a\r\n", False), (b"250-a\r\n250 b\r\n", True),
     (b"354 go\r\n", True), (b"250\r\n", True)],
)  # fmt: skip
def test_a_reply_ends_with_its_last_line(heard, ends) -> None:
    """Wherever it was cut (RFC 5321 section 4.2.1)."""
    assert client.whole(heard) is ends

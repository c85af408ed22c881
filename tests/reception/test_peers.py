"""Who the client is behind a proxy: PROXY headers and XCLIENT over real sockets."""

from __future__ import annotations

import smtplib
import socket
import ssl
import tempfile
import time
from pathlib import Path

from reception_kit import MemoryStore, Open, Passwords, Router, Speaks, Watching, bind
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from mailframe.hooks import Hooks
from mailframe.reception.listener import Reception
from mailframe.reception.shared import Shared
from mailframe.settings import Limits, Listener, TlsSettings
from mailframe.smtp.reply import Reply
from mailframe.testing.certificates import make_authority
from mailframe.wire.certificates import Certificates
from mailframe.wire.proxy import Header, write_v1, write_v2
from mailframe.wire.transport import make_prompt

AUTHORITY = make_authority()
LOOPBACK = ("127.0.0.0/8",)
CLIENT = Header(True, "198.51.100.7", 40000, "192.0.2.25", 25)


class PeerCase(TestCase):
    timeout = 30

    def setUp(self):
        live = Path(tempfile.mkdtemp())
        AUTHORITY.issue("localhost").write_live(live)
        self.certificates = Certificates(TlsSettings(live), "localhost")
        self.store = MemoryStore()
        self.watching = Watching()

    def listen(self, *filters, limits=None, **listener):
        self.reception = Reception(
            Shared(
                hostname="localhost",
                listener=Listener(**{"name": "test", "endpoint": "tcp:0", **listener}),
                limits=limits or Limits(),
                hooks=Hooks(
                    reactor=reactor,
                    relay=bind("relay", Open()),
                    routes=bind("route", Router()),
                    auth=bind("auth", Passwords(alice="secret")),
                    filters=bind("filter", *filters),
                    observers=bind("observe", self.watching),
                ),
                store=self.store,
                certificates=self.certificates,
                reactor=reactor,
                now=time.time,
                commit=lambda draft, envelope, headers: draft.commit(envelope, headers),
            )
        )
        port = reactor.listenTCP(0, self.reception, interface="127.0.0.1")
        make_prompt(port)

        async def stop():
            await port.stopListening()
            self.reception.drop()
            await self.reception.stop_gracefully()

        self.addCleanup(lambda: ensureDeferred(stop()))
        return port.getHost().port

    @property
    def message(self):
        [entry] = self.store.entries
        return entry.message

    @property
    def client(self):
        return self.message.envelope.client


def dialogue(port, *said, first=b""):
    """What a client reads, line by line until the connection ends, after it has said this."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as channel:
        channel.sendall(first + b"".join(line.encode() + b"\r\n" for line in said))
        came = b""
        while octets := channel.recv(4096):
            came += octets
    return came.decode().splitlines()


MAIL = ("EHLO c.example", "MAIL FROM:<a@c.example>", "RCPT TO:<b@localhost>", "DATA", "Subject: x",
        "", "hi", ".", "QUIT")  # fmt: skip


class ProxyTests(PeerCase):
    async def test_both_versions(self):
        """The client is whom the proxy names, for policies, limits and Received: alike."""
        port = self.listen(proxy=LOOPBACK)
        for header in (write_v1(CLIENT), write_v2(CLIENT)):
            self.store.entries.clear()
            came = await deferToThread(dialogue, port, *MAIL, first=header)
            assert came[0].startswith("220 ") and came[-1].startswith("221 ")
            assert (self.client.address, self.client.port) == ("198.51.100.7", 40000)
            assert (self.client.local_address, self.client.local_port) == ("192.0.2.25", 25)
            assert b"([198.51.100.7])" in self.message.content.prefix

    async def test_a_header_in_pieces(self):
        """It may come octet by octet; the greeting waits for it."""
        port = self.listen(proxy=LOOPBACK)

        def client():
            with socket.create_connection(("127.0.0.1", port), timeout=10) as channel:
                for octet in write_v2(CLIENT):
                    channel.setblocking(False)
                    with self.assertRaises(BlockingIOError):
                        channel.recv(1)
                    channel.settimeout(10)
                    channel.sendall(bytes([octet]))
                return channel.recv(100)

        assert (await deferToThread(client)).startswith(b"220 ")

    async def test_before_implicit_tls(self):
        """Not an octet of the handshake behind the header is lost."""
        port = self.listen(proxy=LOOPBACK, tls="implicit")
        context = ssl.create_default_context(cadata=AUTHORITY.pem.decode())

        def client(header):
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
            with socket.create_connection(("127.0.0.1", port), timeout=10) as channel:
                first = header  # in one segment with the handshake's first octets
                while True:
                    try:
                        tls.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        channel.sendall(first + outgoing.read())
                        first = b""
                        incoming.write(channel.recv(65536))
                channel.sendall(outgoing.read())
                while True:
                    try:
                        return tls.read(100)
                    except ssl.SSLWantReadError:
                        incoming.write(channel.recv(65536))

        for header in (write_v1(CLIENT), write_v2(CLIENT)):
            assert (await deferToThread(client, header)).startswith(b"220 ")

    async def test_the_proxys_own_checks(self):
        """LOCAL and UNKNOWN: the connection's own addresses hold."""
        port = self.listen(proxy=LOOPBACK)
        for header in (write_v1(Header(False)), write_v2(Header(False))):
            self.store.entries.clear()
            await deferToThread(dialogue, port, *MAIL, first=header)
            assert self.client.address == "127.0.0.1"

    async def test_a_listed_proxy_without_a_header(self):
        """It is hung up on without a word, and said so."""
        port = self.listen(proxy=LOOPBACK)
        for first in (b"EHLO c.example\r\n", b"PROXY TCP4 nonsense\r\n", b"\x16\x03\x01hello"):
            try:
                assert await deferToThread(dialogue, port, first=first) == []
            except ConnectionResetError:
                pass
        assert self.watching.verdicts("session") == ["no PROXY header"] * 3

    async def test_a_header_that_does_not_come(self):
        """Nobody waits for it for ever."""
        port = self.listen(proxy=LOOPBACK, limits=Limits(proxy_timeout=0.2))
        try:
            assert await deferToThread(dialogue, port, first=b"PROXY TCP4 ") == []
        except ConnectionResetError:
            pass
        assert self.watching.verdicts("session") == ["no PROXY header"]
        assert self.reception.sessions == 0

    async def test_others_are_not_believed(self):
        """From who is not listed a header is no command of SMTP."""
        port = self.listen(proxy=("192.0.2.1",))
        came = await deferToThread(dialogue, port, *MAIL, first=write_v1(CLIENT))
        assert came[0].startswith("220 ") and came[1].startswith("500 ")
        assert self.client.address == "127.0.0.1"

    async def test_the_client_is_counted_not_the_proxy(self):
        """Each client behind it has its own bound."""
        port = self.listen(proxy=LOOPBACK, limits=Limits(connections_per_client=1))

        def client():
            said = []
            with socket.create_connection(("127.0.0.1", port), timeout=10) as one:
                one.sendall(write_v1(CLIENT))
                said.append(one.recv(100)[:3])
                for source in ("198.51.100.7", "198.51.100.8"):
                    with socket.create_connection(("127.0.0.1", port), timeout=10) as other:
                        other.sendall(write_v1(Header(True, source, 1, "192.0.2.25", 25)))
                        said.append(other.recv(100)[:3])
            return said

        assert await deferToThread(client) == [b"220", b"421", b"220"]

    async def test_tls_that_the_proxy_ended(self):
        """The client is as secure as it was with the proxy: AUTH is offered."""
        port = self.listen(proxy=LOOPBACK, tls="none")
        inner = b"\x21\x00\x07TLSv1.3\x23\x00\x03AES"
        part = b"\x20" + (5 + len(inner)).to_bytes(2, "big") + b"\x01\0\0\0\0" + inner
        header = write_v2(CLIENT, part)
        came = await deferToThread(dialogue, port, *MAIL, first=header)
        assert any(line.startswith("250-AUTH ") for line in came)
        assert self.client.tls.version == "TLSv1.3" and self.client.protocol == "ESMTPS"


class XclientTests(PeerCase):
    async def test_another_clients_session(self):
        """Its address, name, hello and login; a new greeting, EHLO is wanted anew."""
        port = self.listen(xclient=LOOPBACK)
        came = await deferToThread(
            dialogue,
            port,
            "EHLO proxy.example",
            "XCLIENT NAME=client.example ADDR=198.51.100.7 PORT=40000 LOGIN=alice PROTO=ESMTP",
            "MAIL FROM:<a@c.example>",
            *MAIL,
        )
        codes = [line[:3] for line in came if line[3] == " "]
        assert codes == ["220", "250", "220", "503", "250", "250", "250", "354", "250", "221"]
        assert (self.client.address, self.client.port) == ("198.51.100.7", 40000)
        assert (self.client.name, self.client.user) == ("client.example", "alice")
        assert self.client.protocol == "ESMTPA"
        prefix = self.message.content.prefix
        assert b"from c.example (client.example [198.51.100.7])" in prefix

    async def test_what_is_not_known(self):
        """[UNAVAILABLE] is nobody's address: nothing that the connection was holds."""
        port = self.listen(xclient=LOOPBACK)
        await deferToThread(dialogue, port, "XCLIENT ADDR=[UNAVAILABLE] NAME=[UNAVAILABLE]", *MAIL)
        assert (self.client.address, self.client.name) == ("unknown", "")
        assert b"Received: from c.example\r\n" in self.message.content.prefix

    async def test_who_is_not_listed(self):
        """Neither offered nor taken; where nobody may, the command is unknown."""
        port = self.listen(xclient=("192.0.2.1",))
        came = await deferToThread(dialogue, port, "EHLO c.example", "XCLIENT ADDR=1.2.3.4", "QUIT")
        assert not any("XCLIENT NAME" in line for line in came)
        assert came[-2].startswith("550 5.7.0 ")
        port = self.listen()
        came = await deferToThread(dialogue, port, "XCLIENT ADDR=1.2.3.4", "QUIT")
        assert came[-2].startswith("500 ")

    async def test_it_does_not_begin_tls(self):
        """STARTTLS still does, behind it."""
        port = self.listen(xclient=LOOPBACK)

        def client():
            with smtplib.SMTP("localhost", port, timeout=10) as smtp:
                smtp.ehlo()
                assert smtp.docmd("XCLIENT", "ADDR=198.51.100.7")[0] == 220
                smtp.ehlo_or_helo_if_needed()
                smtp.helo_resp = smtp.ehlo_resp = None
                smtp.starttls(context=ssl.create_default_context(cadata=AUTHORITY.pem.decode()))
                smtp.login("alice", "secret")
                smtp.sendmail("a@c.example", ["b@localhost"], "Subject: x\r\n\r\nhi\r\n")

        await deferToThread(client)
        assert self.client.address == "198.51.100.7" and self.client.user == "alice"

    async def test_filters_see_the_new_client(self):
        """Who would not have been greeted is told so, and nothing more is heard."""
        seen = []

        def connected(client):
            seen.append(client.address)
            return Reply(554, "Not you", "5.7.1") if client.address == "198.51.100.7" else None

        port = self.listen(Speaks(connected=connected), xclient=LOOPBACK)
        came = await deferToThread(dialogue, port, "XCLIENT ADDR=198.51.100.7", *MAIL)
        assert seen == ["127.0.0.1", "198.51.100.7"]
        assert came[-1] == "421 4.7.1 Not you" and not self.store.entries

    async def test_the_new_client_is_counted(self):
        """In place of the old one."""
        port = self.listen(xclient=LOOPBACK, limits=Limits(connections_per_client=1))

        def client():
            with socket.create_connection(("127.0.0.1", port), timeout=10) as one:
                one.recv(100)
                one.sendall(b"XCLIENT ADDR=198.51.100.7\r\n")
                first = one.recv(100)[:3]
                # The old one is counted no more, the new one is.
                others = dialogue(port, "XCLIENT ADDR=198.51.100.7")
            return first, others

        first, others = await deferToThread(client)
        assert first == b"220" and others[0].startswith("220") and others[1].startswith("421")

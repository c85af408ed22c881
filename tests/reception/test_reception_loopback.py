"""A reception on a real port, with real clients."""

from __future__ import annotations

import smtplib
import socket
import ssl
import tempfile
import time
from pathlib import Path

from OpenSSL import SSL
from reception_kit import MemoryStore, Open, Passwords, Router, bind
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from mailframe.hooks import Hooks
from mailframe.reception.listener import Reception
from mailframe.reception.shared import Shared
from mailframe.settings import Limits, Listener, TlsSettings
from mailframe.testing.certificates import make_authority
from mailframe.wire.certificates import Certificates
from mailframe.wire.transport import make_prompt

AUTHORITY = make_authority()
SCRIPT = (
    b"HELO x\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"
    b"Subject: t\r\n\r\nx\r\n.\r\nQUIT\r\n"
)
CODES = [b"220 ", b"250 ", b"250 ", b"250 ", b"354 ", b"250 ", b"221 "]


class LoopbackTests(TestCase):
    """smtplib and plain sockets against a listening port."""

    def setUp(self):
        live = Path(tempfile.mkdtemp())
        AUTHORITY.issue("localhost").write_live(live)
        self.certificates = Certificates(TlsSettings(live), "localhost")
        self.store = MemoryStore()

    def listen(self, limits=None, **listener):
        reception = Reception(
            Shared(
                hostname="localhost",
                listener=Listener(**{"name": "test", "endpoint": "tcp:0", **listener}),
                limits=limits or Limits(),
                hooks=Hooks(
                    reactor=reactor,
                    relay=bind("relay", Open()),
                    routes=bind("route", Router()),
                    auth=bind("auth", Passwords(alice="secret")),
                ),
                store=self.store,
                certificates=self.certificates,
                reactor=reactor,
                now=time.time,
                commit=lambda draft, envelope, headers: draft.commit(envelope, headers),
            )
        )
        port = reactor.listenTCP(0, reception, interface="127.0.0.1")
        make_prompt(port)

        async def stop():
            await port.stopListening()
            reception.drop()
            await reception.stop_gracefully()

        self.addCleanup(lambda: ensureDeferred(stop()))
        return port.getHost().port

    def context(self):
        return ssl.create_default_context(cadata=AUTHORITY.pem.decode())

    async def test_starttls_login_and_mail(self):
        """smtplib verifies the certificate, logs in and sends."""
        port = self.listen(requires=("tls", "auth"))

        def client():
            with smtplib.SMTP("localhost", port, local_hostname="me.example") as smtp:
                smtp.starttls(context=self.context())
                smtp.login("alice", "secret")
                body = "Subject: x\r\n\r\n" + ".dots\r\n" * 20_000
                return smtp.sendmail("a@client.example", ["b@example.org"], body)

        self.assertEqual(await deferToThread(client), {})
        (entry,) = self.store.entries
        self.assertEqual(entry.message.envelope.client.user, "alice")
        self.assertTrue(entry.message.content.at_hand.endswith(b"\r\n.dots\r\n.dots\r\n"))
        self.assertIn(b"with ESMTPSA (TLSv1.3", entry.message.content.prefix)

    async def test_implicit_tls(self):
        """TLS from the first octet; a wrong password is 535."""
        port = self.listen(tls="implicit")

        def client():
            with smtplib.SMTP_SSL("localhost", port, context=self.context()) as smtp:
                with self.assertRaises(smtplib.SMTPAuthenticationError) as refused:
                    smtp.login("alice", "guess", initial_response_ok=False)
                return refused.exception.smtp_code

        self.assertEqual(await deferToThread(client), 535)

    async def test_a_client_that_closes_its_sending_side(self):
        """As `nc -N` does: all replies come, and the message is there once."""
        port = self.listen()

        def client():
            with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
                sock.sendall(SCRIPT)
                sock.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: sock.recv(4096), b""))

        heard = await deferToThread(client)
        self.assertEqual([line[:4] for line in heard.splitlines()], CODES)
        self.assertEqual(len(self.store.entries), 1)

    async def test_the_same_in_tls(self):
        """By its close_notify (RFC 8446 section 6.1)."""
        port = self.listen(tls="implicit")

        def client():
            with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
                sock.settimeout(None)
                tls = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), sock)
                tls.set_connect_state()
                tls.sendall(SCRIPT)
                tls.shutdown()
                heard = b""
                while heard.count(b"\r\n") < len(CODES):
                    heard += tls.recv(4096)
                return heard

        heard = await deferToThread(client)
        self.assertEqual([line[:4] for line in heard.splitlines()], CODES)
        self.assertEqual(len(self.store.entries), 1)

    async def test_a_client_that_never_reads_is_dropped(self):
        """Commands without end, no reply read: the connection is closed by the server."""
        limits = Limits(command_timeout=1.0, unread_replies=4096, commands=10**9)
        port = self.listen(limits=limits)

        def client():
            with socket.create_connection(("127.0.0.1", port)) as sock:
                sock.settimeout(20)
                sent = 0
                try:
                    while True:
                        sent += sock.send(b"NOOP\r\n" * 1000)
                except ConnectionError:
                    return sent

        self.assertGreater(await deferToThread(client), 0)

    async def test_the_same_over_tls(self):
        """The bound is on what waits behind the TLS layer, too."""
        limits = Limits(command_timeout=1.0, unread_replies=4096, commands=10**9)
        port = self.listen(limits=limits, tls="implicit")

        def client():
            with socket.create_connection(("127.0.0.1", port)) as sock:
                with self.context().wrap_socket(sock, server_hostname="localhost") as tls:
                    tls.settimeout(20)
                    try:
                        while True:
                            tls.send(b"NOOP\r\n" * 1000)
                    except (ConnectionError, ssl.SSLError):
                        return True

        self.assertTrue(await deferToThread(client))

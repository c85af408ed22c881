"""TLS as a client, over real sockets on loopback: who is believed, and what happens if not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import crypto
from scripted_peer import Zone, in_thread, message, recipients
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.basic import LineReceiver
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from mailframe.message import NextHop, Outcome, Status, TlsDemand, TlsUse
from mailframe.plugin import Duration
from mailframe.testing.certificates import Authority, Issued, make_authority
from mailframe.transmission import ClientTls, Courier, Exchanges, Opener, Pool, Timeouts


@dataclass(frozen=True)
class Wants:
    """A judge: the first certificate that is shown must be this one, the next that."""

    own: bytes
    next: bytes = b""
    raises: bool = False

    def judge(self, host: str, chain: Sequence[bytes]) -> str:
        assert host == "mx.peer.example"
        if self.raises:
            return str(1 / 0)
        same = chain[0] == self.own and (not self.next or chain[1] == self.next)
        return "" if same else "they are not the ones"


def _der(of: Issued | Authority) -> bytes:
    pem = of.chain if isinstance(of, Issued) else of.pem
    return x509.load_pem_x509_certificates(pem)[0].public_bytes(Encoding.DER)


AUTHORITY = make_authority()
STRANGER = make_authority("a stranger")


@implementer(IHandshakeListener)
class TlsPeer(LineReceiver):
    """A server with STARTTLS. `factory` says how it misbehaves and remembers what it heard."""

    factory: TlsPeerFactory
    in_content = False

    def connectionMade(self) -> None:
        self.factory.open.append(self)
        if len(self.factory.open) > self.factory.clients:
            self.transport.abortConnection()
            return
        self.in_tls = self.factory.implicit
        if self.factory.implicit:
            self.transport.startTLS(self.factory.options)
        self.say("220 mx.peer.example ESMTP")

    def handshakeCompleted(self) -> None:
        if self.factory.fails == "after the handshake":
            self.transport.loseConnection()

    def rawDataReceived(self, data: bytes) -> None:
        """The handshake goes unanswered."""

    def say(self, text: str) -> None:
        self.sendLine(text.encode())

    def lineReceived(self, line: bytes) -> None:
        text = line.decode()
        if self.in_content:
            self.in_content = text != "."
            if not self.in_content:
                self.say("250 2.0.0 taken")
            return
        self.factory.heard.append(("tls " if self.in_tls else "") + text)
        if text.startswith("EHLO") and self.in_tls and self.factory.fails == "EHLO":
            self.transport.loseConnection()
        elif text.startswith("EHLO") and self.in_tls and self.factory.fails == "busy":
            self.say("421 4.3.2 busy")
        elif text == "STARTTLS" and self.factory.fails == "no answer":
            self.setRawMode()
        elif text == "STARTTLS" and self.factory.fails == "closed":
            self.transport.loseConnection()
        elif text.startswith("EHLO"):
            self.say(
                "250-mx.peer.example\r\n250-AUTH PLAIN"
                + ("" if self.in_tls else "\r\n250-STARTTLS")
            )
            self.say("250 PIPELINING")
        elif text == "STARTTLS":
            self.transport.write(b"220 go\r\n" + self.factory.injected)
            if self.factory.is_silent:
                self.setRawMode()
            elif self.factory.breaks:
                self.transport.write(b"this is no handshake\r\n" * 20)
                self.transport.loseConnection()
            else:
                self.transport.startTLS(self.factory.options)
                self.in_tls = True
        elif text == "DATA":
            self.in_content = True
            self.say("354 go")
        else:
            self.say("235 in" if text.startswith("AUTH") else "250 ok")


class TlsPeerFactory(Factory):
    """The server and its certificate."""

    protocol = TlsPeer
    noisy = False

    def __init__(self, certificate: Issued, **ways: Any) -> None:
        own, *chain = map(
            crypto.X509.from_cryptography, x509.load_pem_x509_certificates(certificate.chain)
        )
        self.options = CertificateOptions(
            privateKey=crypto.PKey.from_cryptography_key(_key(certificate)),
            certificate=own,
            extraCertChain=chain,
        )
        self.breaks: bool = ways.pop("breaks", False)
        self.is_silent: bool = ways.pop("is_silent", False)
        self.fails: str = ways.pop("fails", "")
        self.clients: int = ways.pop("clients", 100)
        self.implicit: bool = ways.pop("implicit", False)
        self.injected: bytes = ways.pop("injected", b"")
        self.heard: list[str] = []
        self.open: list[TlsPeer] = []


class TestTls(TestCase):
    timeout = 20

    async def send(
        self, factory: TlsPeerFactory, tls: TlsUse, host: str = "mx.peer.example", **hop: Any
    ) -> Outcome:
        timeouts = hop.pop("timeouts", Timeouts())
        from twisted.internet import reactor

        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        authorities = Path(folder.name) / "ca.pem"
        authorities.write_bytes(make_authority("another").pem + AUTHORITY.pem)
        opener = Opener(
            hostname="us.example", reactor=reactor, tls=ClientTls(authorities), timeouts=timeouts
        )
        pool = Pool(opener, reactor)  # type: ignore[arg-type]
        self.addCleanup(pool.close)
        courier = Courier(
            exchanges=Exchanges(
                Zone(hosts={key: ["127.0.0.1"] for key in ("mx.peer.example", "a_b.example")}),
                "us.example",
                Random(1),
                port=port.getHost().port,
                private=True,
            ),
            pool=pool,
            timeouts=Timeouts(),
            in_thread=in_thread,
            demand=hop.pop("demand", None),
        )
        next_hop = NextHop(host, "host", tls=tls, **hop)
        [outcome] = await courier.deliver(message(), next_hop, recipients("r@x.example"), None)
        return outcome

    async def test_broken_around_the_handshake(self) -> None:
        """Opportunistic TLS that breaks outside the handshake is tried in the clear, too."""
        for fails in ("no answer", "closed", "after the handshake", "EHLO"):
            factory = TlsPeerFactory(AUTHORITY.issue("mx.peer.example"), fails=fails)
            timeouts = Timeouts(hello=Duration(0.3))
            outcome = await self.send(factory, "opportunistic", timeouts=timeouts)
            assert outcome.status is Status.RELAYED, (fails, outcome)
            assert outcome.facts["tls"] == "none"

    async def test_broken_where_tls_is_demanded(self) -> None:
        """Nothing goes in the clear then."""
        for fails in ("no answer", "closed", "after the handshake", "EHLO"):
            for tls in ("require", "verify"):
                factory = TlsPeerFactory(AUTHORITY.issue("mx.peer.example"), fails=fails)
                timeouts = Timeouts(hello=Duration(0.3))
                outcome = await self.send(factory, tls, timeouts=timeouts)  # type: ignore[arg-type]
                assert outcome.status is Status.DEFERRED, (fails, outcome)
                assert not any(line.startswith(("MAIL", "tls MAIL")) for line in factory.heard)

    async def test_a_busy_server_is_not_a_broken_one(self) -> None:
        """A 421 inside TLS is its word: mail waits."""
        factory = TlsPeerFactory(AUTHORITY.issue("mx.peer.example"), fails="busy")
        outcome = await self.send(factory, "opportunistic")
        assert outcome.status is Status.DEFERRED and outcome.reply.text == "busy"
        assert factory.heard.count("STARTTLS") == 1

    async def test_opportunistic_takes_any_certificate(self) -> None:
        """RFC 7435; EHLO is said anew, and the trace knows of it."""
        factory = TlsPeerFactory(STRANGER.issue("else.example"))
        outcome = await self.send(factory, "opportunistic")
        assert outcome.status is Status.RELAYED
        assert outcome.facts["tls"].startswith("TLSv1.3 TLS_")
        assert factory.heard[:4] == [
            "EHLO us.example",
            "STARTTLS",
            "tls EHLO us.example",
            "tls MAIL FROM:<>",
        ]

    async def test_opportunistic_goes_in_the_clear_where_tls_fails(self) -> None:
        """On a new connection, once."""
        factory = TlsPeerFactory(STRANGER.issue("else.example"), breaks=True)
        outcome = await self.send(factory, "opportunistic")
        assert outcome.status is Status.RELAYED and outcome.facts["tls"] == "none"
        assert factory.heard[:4] == [
            "EHLO us.example",
            "STARTTLS",
            "EHLO us.example",
            "MAIL FROM:<>",
        ]

    async def test_no_connection_in_the_clear_after_tls_failed(self) -> None:
        """The second try has failures of its own."""
        factory = TlsPeerFactory(STRANGER.issue("else.example"), breaks=True, clients=1)
        outcome = await self.send(factory, "opportunistic")
        assert outcome.status is Status.DEFERRED and outcome.reply.status == "4.4.2"

    async def test_a_handshake_has_its_time(self) -> None:
        """A server that says 220 and then nothing is not waited for."""
        factory = TlsPeerFactory(STRANGER.issue("else.example"), is_silent=True)
        outcome = await self.send(factory, "require", timeouts=Timeouts(tls=Duration(0.2)))
        assert outcome.status is Status.DEFERRED and outcome.reply.status == "4.7.5"
        assert "too long" in outcome.reply.text

    async def test_a_name_that_no_certificate_can_have(self) -> None:
        """A host outside of IDNA is not verified, and not written to."""
        factory = TlsPeerFactory(AUTHORITY.issue("mx.peer.example"))
        outcome = await self.send(factory, "verify", host="a_b.example")
        assert outcome.status is Status.DEFERRED and outcome.reply.status == "4.7.5"
        assert factory.heard == ["EHLO us.example", "STARTTLS"]

    async def test_demanded_tls_that_fails_is_deferred(self) -> None:
        """No second try in the clear."""
        factory = TlsPeerFactory(STRANGER.issue("else.example"), breaks=True)
        outcome = await self.send(factory, "require")
        assert outcome.status is Status.DEFERRED and outcome.reply.status == "4.7.5"
        assert factory.heard == ["EHLO us.example", "STARTTLS"]

    async def test_responses_in_the_clear_behind_the_220_are_forgotten(self) -> None:
        """What was injected before TLS is not believed in it (RFC 3207 section 6)."""
        factory = TlsPeerFactory(
            AUTHORITY.issue("mx.peer.example"), injected=b"250-evil\r\n250 SIZE 1\r\n250 ok\r\n"
        )
        outcome = await self.send(factory, "opportunistic")
        # In one segment they are forgotten; cut apart they break the handshake. Never heard.
        assert outcome.status is Status.RELAYED
        assert all("SIZE" not in line for line in factory.heard)

    async def test_a_policy_demands_a_verified_certificate(self) -> None:
        """Though the route takes any; the trace says so."""
        demand = TlsDemand("verify", policy="sts")
        for authority, taken in ((AUTHORITY, True), (STRANGER, False)):
            factory = TlsPeerFactory(authority.issue("mx.peer.example"))
            outcome = await self.send(factory, "opportunistic", demand=lambda *_: demand)
            assert outcome.reply.positive is taken, outcome
            if taken:
                assert outcome.facts["tls"].endswith(", verified (sts)")
            else:
                assert outcome.reply.status == "4.7.5"
                assert not any(line.startswith("tls ") for line in factory.heard)

    async def test_a_policy_judges_the_certificates(self) -> None:
        """All that are shown, before anything is said to the host; a refusal is not got around."""
        issued = STRANGER.issue("else.example")
        demand = TlsDemand("opportunistic", Wants(_der(issued), _der(STRANGER)), policy="dane")
        for shown, taken in ((issued, True), (STRANGER.issue("else.example"), False)):
            factory = TlsPeerFactory(shown)
            outcome = await self.send(factory, "opportunistic", demand=lambda *_: demand)
            assert outcome.reply.positive is taken, outcome
            if taken:
                assert outcome.facts["tls"].endswith(", verified (dane)")
            else:
                assert (outcome.reply.code, outcome.reply.status) == (451, "4.7.5")
                assert "not the ones" in outcome.reply.text
                assert factory.heard == ["EHLO us.example", "STARTTLS"]

    async def test_a_policy_judges_where_tls_comes_first(self) -> None:
        """The route's manner stays, the judge is asked as well."""
        issued = AUTHORITY.issue("mx.peer.example")
        for wanted, taken in ((_der(issued), True), (_der(AUTHORITY), False)):
            demand = TlsDemand("require", Wants(wanted))
            factory = TlsPeerFactory(issued, implicit=True)
            outcome = await self.send(factory, "implicit", demand=lambda *_, d=demand: d)
            assert outcome.reply.positive is taken, outcome
            assert taken or factory.heard == []

    async def test_a_judge_that_raises_refuses(self) -> None:
        """It is logged, and nothing is sent."""
        factory = TlsPeerFactory(STRANGER.issue("else.example"))
        demand = TlsDemand("require", Wants(b"", raises=True))
        outcome = await self.send(factory, "opportunistic", demand=lambda *_: demand)
        assert outcome.status is Status.DEFERRED and outcome.reply.status == "4.7.5"
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1

    async def test_verified(self) -> None:
        """The certificate names the host, by an authority that is trusted."""
        outcome = await self.send(TlsPeerFactory(AUTHORITY.issue("mx.peer.example")), "verify")
        assert outcome.status is Status.RELAYED
        assert outcome.facts["tls"].endswith(", verified")
        by_address = TlsPeerFactory(AUTHORITY.issue("127.0.0.1"))
        outcome = await self.send(by_address, "verify", host="127.0.0.1")
        assert outcome.status is Status.RELAYED

    async def test_not_verified(self) -> None:
        """Another name, another authority, out of date: nothing is sent."""
        for certificate, words in (
            (AUTHORITY.issue("else.example"), "failed: the certificate does not name "),
            (STRANGER.issue("mx.peer.example"), "failed: certificate verify failed"),
            (AUTHORITY.issue("mx.peer.example", days=-1), "failed: certificate verify failed"),
        ):
            factory = TlsPeerFactory(certificate)
            outcome = await self.send(factory, "verify")
            assert outcome.status is Status.DEFERRED and outcome.reply.status == "4.7.5"
            assert "TLS handshake" in outcome.reply.text
            assert words in outcome.reply.text, outcome.reply.text
            assert factory.heard == ["EHLO us.example", "STARTTLS"]

    async def test_implicit(self) -> None:
        """RFC 8314: TLS from the first octet, verified; the password inside it."""
        factory = TlsPeerFactory(AUTHORITY.issue("mx.peer.example"), implicit=True)
        outcome = await self.send(factory, "implicit", user="me", password="pw")
        assert outcome.status is Status.RELAYED
        assert factory.heard[:2] == ["tls EHLO us.example", "tls AUTH PLAIN AG1lAHB3"]


class TestClientTls(TestCase):
    def test_authorities_must_be_certificates(self) -> None:
        """A wrong file is named when the host starts, not when mail is lost."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "ca.pem"
            self.assertRaises(OSError, ClientTls, path)
            path.write_text("nothing")
            self.assertRaises(ValueError, ClientTls, path)
            path.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
            self.assertRaises(ValueError, ClientTls, path)

    def test_verifying_contexts_are_kept_and_bounded(self) -> None:
        """Making one reads all authorities; keeping all would not end."""
        tls = ClientTls()
        first = tls.options("mx.peer.example", "verify")
        assert tls.options("MX.peer.example.", "verify") is first
        for number in range(200):
            tls._verifying[f"h{number}.example"] = first
        tls.options("new.example", "verify")
        assert len(tls._verifying) <= 201 + 1 and "mx.peer.example" not in tls._verifying


def _key(certificate: Issued) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return load_pem_private_key(certificate.key, None)

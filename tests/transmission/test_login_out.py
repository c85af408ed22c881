"""Logging in at a server: by what both sides know, and only to who proves itself."""

from __future__ import annotations

from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

from scripted_peer import Network, Peer, message, recipients
from twisted.internet import reactor as real_reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mailframe.hooks import Bound, Hooks
from mailframe.message import NextHop, Status
from mailframe.reception.listener import Reception
from mailframe.reception.shared import Shared
from mailframe.sasl import (
    CertificateWanted,
    Identity,
    KeysFound,
    KeysWanted,
    ServerTerms,
    StoredKeys,
    begin,
)
from mailframe.settings import Limits, Listener, TlsSettings
from mailframe.testing.certificates import make_authority
from mailframe.testing.hooks import Remembered
from mailframe.transmission import ClientTls, Opener, Timeouts
from mailframe.transmission.exchanges import Target
from mailframe.transmission.opener import Unusable
from mailframe.wire.certificates import Certificates
from mailframe.wire.transport import make_prompt

reactor: Any = real_reactor
KEYS = StoredKeys.derive("secret", b"0123456789abcdef", 4096)
AUTHORITY, CLIENTS = make_authority(), make_authority("clients")


class Passwords:
    """alice, and her password."""

    credentialInterfaces = ()

    def requestAvatarId(self, credentials: Any) -> bytes | None:
        right = (credentials.username, credentials.password) == (b"alice", b"secret")
        return b"alice" if right else None


class Keys:
    """What is kept of alice's password."""

    def keeps_keys(self) -> bool:
        return True

    def stored_keys(self, wanted: KeysWanted) -> KeysFound | None:
        return KeysFound(Identity("alice"), KEYS) if wanted.name == "alice" else None


class Shown:
    """Knows every certificate."""

    def check_certificate(self, wanted: CertificateWanted, certificate: bytes) -> Identity:
        return Identity("host")


class TestOurOwnServer(TestCase):
    """Both ends are ours, with TLS on loopback between them."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        AUTHORITY.issue("localhost").write_live(self.folder / "live")
        (self.folder / "ca.pem").write_bytes(AUTHORITY.pem)
        (self.folder / "clients.pem").write_bytes(CLIENTS.pem)
        CLIENTS.issue("host.example").write_pem(self.folder / "own.pem")
        self.seen = Remembered()
        self.threads = 0

    def in_thread(self, function: Any, *arguments: Any) -> Deferred[Any]:
        self.threads += 1
        return deferToThread(function, *arguments)

    def serve(self, *auth: Any) -> int:
        """A listener with these plugins; its port."""
        clients = self.folder / "clients.pem"
        reception = Reception(
            Shared(
                hostname="localhost",
                listener=Listener("mx", "tcp:0", client_ca=clients),
                limits=Limits(),
                hooks=Hooks(
                    reactor=reactor,
                    auth=tuple(Bound("auth", type(each).__name__, each) for each in auth),
                    observers=(Bound("observe", "seen", self.seen),),
                ),
                store=None,  # type: ignore[arg-type]
                certificates=Certificates(
                    TlsSettings(self.folder / "live"), "localhost", client_cas=[clients]
                ),
                reactor=reactor,
                now=reactor.seconds,
                commit=lambda draft, envelope, headers: draft.commit(envelope, headers),
            )
        )
        port = reactor.listenTCP(0, reception, interface="127.0.0.1")
        make_prompt(port)
        self.addCleanup(port.stopListening)
        self.addCleanup(reception.drop)
        number: int = port.getHost().port
        return number

    async def open(self, port: int, password: str = "secret", **tls: Any) -> str:
        """Log in; the mechanism by which it came about."""
        opener = Opener(
            hostname="us.example",
            reactor=reactor,
            tls=ClientTls(self.folder / "ca.pem", **tls),
            timeouts=Timeouts(),
            in_thread=self.in_thread,
        )
        target = Target("localhost", "127.0.0.1", port, "verify", "alice", password)
        connection = await opener.open(target)
        connection.leave()
        await connection.closed
        told = [each for each in self.seen.events if each.verdict == "authenticated"]
        return str(told[-1].facts["mechanism"])

    async def test_the_strongest_that_both_know(self) -> None:
        """A password that stays hidden before one that is shown; the work is a thread's."""
        assert await self.open(self.serve(Passwords(), Keys())) == "SCRAM-SHA-256-PLUS"
        assert self.threads > 0
        assert await self.open(self.serve(Passwords())) == "PLAIN"

    async def test_by_certificate(self) -> None:
        """Before the password is shown, but not in place of SCRAM."""
        own = self.folder / "own.pem"
        port = self.serve(Passwords(), Shown())
        assert await self.open(port, certificate=own) == "EXTERNAL"
        assert await self.open(port) == "PLAIN"
        every = self.serve(Passwords(), Keys(), Shown())
        assert await self.open(every, certificate=own) == "SCRAM-SHA-256-PLUS"

    async def test_the_wrong_password(self) -> None:
        """It waits for the operator, whichever mechanism says so."""
        for auth in ((Passwords(),), (Keys(),)):
            with self.assertRaises(Unusable) as caught:
                await self.open(self.serve(*auth), "guess")
            assert str(caught.exception.reply).startswith("454 4.7.8 ")


class Impostor(Peer):
    """Speaks SCRAM with keys of its own, or says 235 where it pleases."""

    def __init__(self, keys: StoredKeys, welcome_after: int) -> None:
        super().__init__(extensions=("AUTH SCRAM-SHA-256",))
        self.keys, self.welcome_after = keys, welcome_after
        terms = ServerTerms(offered=["SCRAM-SHA-256"], random=bytes, secret=b"x" * 16)
        self.exchange: Any = begin("SCRAM-SHA-256", terms)
        self.talking = False
        self.steps = 0

    def reply(self, key: str, default: str) -> str:
        """What is said to a response of the client, which `key` is in base64."""
        line = self.said[-1] if self.sessions and self.said else ""
        self.talking = line != "*" and (self.talking or line.startswith("AUTH "))
        if not self.talking:
            return super().reply(key, default)
        self.steps += 1
        if self.steps > self.welcome_after:
            self.talking = False
            return "235 2.7.0 welcome"
        return "334 " + b64encode(self._challenge(line.split()[-1])).decode()

    def _challenge(self, response: str) -> bytes:
        step = self.exchange.step(b64decode(response))
        if isinstance(step, KeysWanted):
            step = self.exchange.answered(KeysFound(Identity("alice"), self.keys))
        # Whoever has not the keys can only guess.
        challenge: bytes = getattr(step, "octets", b"v=" + b64encode(b"x" * 32))
        return challenge


class TestImpostors(SynchronousTestCase):
    """A server that does not know the password gets no mail."""

    def send(self, peer: Peer) -> Any:
        hop = NextHop("mx.peer.example", "host", tls="never", user="alice", password="secret")
        [outcome] = self.successResultOf(
            Network(peer).begin(message(), recipients("r@peer.example"), hop)
        )
        return outcome

    def test_a_welcome_before_the_proof(self) -> None:
        """RFC 5802 section 5: 235 alone proves nothing, however early or late it comes."""
        for steps in range(2):
            peer = Impostor(KEYS, steps)
            outcome = self.send(peer)
            assert outcome.status is Status.DEFERRED and "proved" in outcome.reply.text, steps
            assert not peer.messages
        assert self.send(Impostor(KEYS, 2)).status is Status.RELAYED

    def test_a_wrong_proof(self) -> None:
        """The client breaks off, and says so (RFC 4954 section 4)."""
        peer = Impostor(StoredKeys.derive("other", b"0123456789abcdef", 4096), 9)
        outcome = self.send(peer)
        assert outcome.status is Status.DEFERRED and outcome.reply.status == "4.7.0"
        assert "*" in peer.said and not peer.messages

    def test_challenges_that_are_none(self) -> None:
        """Not base64, or one too many."""
        for says in ({"AUTH": "334 !"}, {"AUTH": "334 eA=="}):
            peer = Peer(extensions=("AUTH PLAIN",), says=dict(says))
            outcome = self.send(peer)
            assert outcome.status is Status.DEFERRED
            assert "*" in peer.said and not peer.messages

    def test_a_long_password_does_not_fit_the_command(self) -> None:
        """RFC 4954 section 4: 512 octets; the server is asked for it then."""
        peer = Peer(extensions=("AUTH PLAIN",), says={"AUTH": "334 "})
        password = "p" * 255
        said = b64encode(b"\0" + b"u" * 200 + b"\0" + password.encode()).decode()
        peer.says[said] = "235 2.7.0 in"
        hop = NextHop("mx.peer.example", "host", tls="never", user="u" * 200, password=password)
        [outcome] = self.successResultOf(
            Network(peer).begin(message(), recipients("r@peer.example"), hop)
        )
        assert outcome.status is Status.RELAYED
        assert peer.said[1:3] == ["AUTH PLAIN", said]


class TestCertificates(TestCase):
    def test_our_certificate_must_be_one(self) -> None:
        """A wrong file is named when the host starts."""
        folder = Path(self.mktemp())
        folder.mkdir()
        own, path = CLIENTS.issue("host.example"), folder / "own.pem"
        self.assertRaises(OSError, ClientTls, None, path)
        for wrong in (b"", own.key, own.chain, CLIENTS.issue("x.example").key + own.chain):
            path.write_bytes(wrong)
            self.assertRaises(ValueError, ClientTls, None, path)
        assert ClientTls(None, own.write_pem(path)).shows_certificate
        assert not ClientTls().shows_certificate

"""Logging in, whatever the protocol: what is offered, who is asked, how it ends."""

from __future__ import annotations

from pathlib import Path
from secrets import token_bytes
from typing import Any

import pytest
from OpenSSL import SSL
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from mailframe.hooks import Bound, Channel, Fault, Hooks, Login, LoginStep
from mailframe.message import Client
from mailframe.sasl import (
    MECHANISMS,
    CertificateWanted,
    Challenge,
    ClientExchange,
    ClientTerms,
    Credentials,
    Identity,
    KeysFound,
    KeysWanted,
    Reason,
    Refusal,
    StoredKeys,
    Success,
    TokenRefused,
    TokenWanted,
    attempt,
)
from mailframe.settings import TlsSettings
from mailframe.testing.certificates import make_authority
from mailframe.testing.hooks import Remembered, compose_hooks, result_of
from mailframe.testing.tls_pair import shaken
from mailframe.testing.values import client
from mailframe.wire.certificates import Certificates
from mailframe.wire.handshake import TlsChannel

PRIVATE = Channel(private=True)
ALICE = client(listener="mx")
KEYS = StoredKeys.derive("secret", b"0123456789abcdef", 4096)


class Passwords:
    """alice, and her password."""

    credentialInterfaces = ()

    def requestAvatarId(self, credentials: Any) -> bytes:
        if (credentials.username, credentials.password) != (b"alice", b"secret"):
            raise UnauthorizedLogin()
        return b"alice"


class Keys:
    """What is kept of alice's password."""

    def __init__(self, keeps: Any = True) -> None:
        self.keeps = keeps

    def keeps_keys(self) -> Any:
        return self.keeps

    def stored_keys(self, wanted: KeysWanted) -> KeysFound | None:
        return KeysFound(Identity("alice"), KEYS) if wanted.name == "alice" else None


class Tokens:
    """Answers what it was made with, or raises it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def check_token(self, wanted: TokenWanted) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Shown:
    """Knows every certificate."""

    def check_certificate(self, wanted: CertificateWanted, certificate: bytes) -> Identity:
        assert certificate[:1] == b"\x30"
        return Identity("alice", acts_as="boss" if wanted.authzid == "boss" else "")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[TlsChannel, TlsChannel]:
    """A server's channel and its client's, who has shown a certificate."""
    folder: Path = tmp_path_factory.mktemp("live")
    authority = make_authority()
    authority.issue("mx.example.org").write_live(folder / "live")
    (folder / "ca.pem").write_bytes(authority.pem)
    certificates = Certificates(
        TlsSettings(folder / "live"), "mx.example.org", client_cas=[folder / "ca.pem"]
    )
    shown = authority.issue("alice.example").write_pem(folder / "alice.pem")
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.use_certificate_chain_file(str(shown))
    context.use_privatekey_file(str(shown))
    server = certificates.server_options(folder / "ca.pem").serverConnectionForTLS(None)
    return shaken(server, SSL.Connection(context, None))


def offered(*auth: Any, listener: str = "mx", channel: Channel = PRIVATE) -> tuple[str, ...]:
    return compose_hooks(auth=auth).logins.offer(listener, channel)


def begun(mechanism: str, *auth: Any, channel: Channel = PRIVATE, **more: Any) -> Login:
    login = compose_hooks(auth=auth, **more).logins.begin(mechanism, ALICE, channel)
    assert login is not None
    return login


def step(login: Login, response: bytes | None) -> LoginStep:
    return result_of(login.step(response))


def spoken(mechanism: str, credentials: Credentials, tls: TlsChannel | None) -> ClientExchange:
    terms = ClientTerms(
        offered=MECHANISMS,
        random=token_bytes,
        private=True,
        bindings=tls.bindings if tls else {},
    )
    return attempt(mechanism, credentials, terms)


def met(login: Login, exchange: ClientExchange, clock: Clock | None = None) -> LoginStep:
    """How it ends if both talk until one of them does not."""
    response = exchange.initial()
    while True:
        eventual = Deferred.fromCoroutine(login.step(response))
        if clock is not None and not eventual.called:
            clock.advance(1)
        said = result_of(eventual)
        if not isinstance(said, Challenge):
            return said
        answer = exchange.step(said.octets)
        if isinstance(answer, Refusal):
            return answer
        response = answer


class TestOffer:
    def test_nobody_asked_is_nothing_offered(self) -> None:
        """No AUTH where it could not succeed: no plugin, or none for this listener."""
        assert offered() == ()
        elsewhere = Bound("auth", "x", Passwords(), on=frozenset({"submission"}))
        assert offered(elsewhere) == ()
        assert offered(elsewhere, listener="submission") == ("PLAIN", "LOGIN")

    def test_each_plugin_brings_its_mechanisms(self) -> None:
        """The strongest first; several plugins together."""
        assert offered(Passwords()) == ("PLAIN", "LOGIN")
        assert offered(Keys()) == ("SCRAM-SHA-256",)
        assert offered(Tokens(None)) == ("OAUTHBEARER", "XOAUTH2")
        assert offered(Shown()) == ()
        every = (Passwords(), Keys(), Tokens(None), Shown())
        assert offered(*every) == ("SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN")

    def test_tls_brings_more(self, tls: tuple[TlsChannel, TlsChannel]) -> None:
        """Channel binding, and the client's certificate."""
        channel = Channel(private=True, tls=tls[0])
        assert offered(Keys(), channel=channel) == ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256")
        assert offered(Shown(), channel=channel) == ("EXTERNAL",)

    def test_nothing_in_the_clear(self) -> None:
        """SCRAM hides the password, and nothing else."""
        assert offered(Passwords(), Keys(), channel=Channel(private=False)) == ()

    def test_keys_that_are_not_kept_are_not_offered(self) -> None:
        """Neither are those of a plugin that cannot say."""
        assert offered(Keys(False)) == offered(Keys("perhaps")) == ()

    def test_what_is_not_offered_cannot_be_begun(self) -> None:
        """Whatever the protocol let through."""
        logins = compose_hooks(auth=[Passwords()]).logins
        for name in ("SCRAM-SHA-256", "EXTERNAL", "ANONYMOUS", ""):
            assert logins.begin(name, ALICE, PRIVATE) is None
        assert logins.begin("PLAIN", ALICE, Channel(private=False)) is None
        assert logins.begin("plain", ALICE, PRIVATE) is not None


class TestExchanges:
    @pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
    def test_passwords(self, tls: tuple[TlsChannel, TlsChannel], mechanism: str) -> None:
        """The right one lets in, by whichever mechanism; the wrong one does not."""
        channel = Channel(private=True, tls=tls[0])
        clock = Clock()
        for password, outcome in (("secret", Success), ("guess", Refusal)):
            login = begun(mechanism, Passwords(), Keys(), channel=channel, reactor=clock)
            credentials = Credentials("alice", password)
            said = met(login, spoken(mechanism, credentials, tls[1]), clock)
            assert isinstance(said, outcome)
            assert not isinstance(said, Success) or said.user == "alice"

    def test_an_offer_that_was_tampered_with(self, tls: tuple[TlsChannel, TlsChannel]) -> None:
        """RFC 5802 section 6: a client that could bind was shown that we cannot."""
        login = begun("SCRAM-SHA-256", Keys(), channel=Channel(private=True, tls=tls[0]))
        asked = login.step(b"y,,n=alice,r=abc")
        assert not Deferred.fromCoroutine(asked).called  # refused, later

    def test_a_binding_of_another_connection(self, tls: tuple[TlsChannel, TlsChannel]) -> None:
        """A man in the middle has two TLS connections, and they are not the same."""
        channel = Channel(private=True, tls=tls[0])
        login = begun("SCRAM-SHA-256-PLUS", Keys(), channel=channel)
        bindings = {"tls-exporter": b"x" * 32}
        terms = ClientTerms(
            offered=["SCRAM-SHA-256-PLUS"], random=token_bytes, private=True, bindings=bindings
        )
        exchange = attempt("SCRAM-SHA-256-PLUS", Credentials("alice", "secret"), terms)
        first = step(login, exchange.initial())
        assert isinstance(first, Challenge)
        final = exchange.step(first.octets)
        assert isinstance(final, bytes)
        assert not Deferred.fromCoroutine(login.step(final)).called  # refused, later

    def test_external(self, tls: tuple[TlsChannel, TlsChannel]) -> None:
        """The certificate says who it is; the plugin, whom they may act for."""
        channel = Channel(private=True, tls=tls[0])
        login = begun("EXTERNAL", Shown(), channel=channel)
        assert step(login, b"") == Success("alice")
        login = begun("EXTERNAL", Shown(), channel=channel)
        assert step(login, b"boss") == Success("alice", "boss")
        login = begun("EXTERNAL", Shown(), channel=channel)
        assert not Deferred.fromCoroutine(login.step(b"eve")).called

    def test_tokens(self) -> None:
        """Whoever says yes first; why not is told if nobody does."""
        bearer = b"n,a=alice,\x01auth=Bearer t0ken\x01\x01"
        no = Tokens(TokenRefused("insufficient_scope", "mail"))
        login = begun("OAUTHBEARER", Tokens(None), no, Tokens(Identity("alice")))
        assert step(login, bearer) == Success("alice")
        login = begun("OAUTHBEARER", Tokens(None), no, Tokens(UnauthorizedLogin()))
        assert step(login, bearer) == Challenge(b'{"status":"insufficient_scope","scope":"mail"}')

    def test_success_carries_data_where_the_protocol_can(self) -> None:
        """ManageSieve, RFC 5804 section 2.1."""
        hooks = compose_hooks(auth=[Keys()])
        login = hooks.logins.begin("SCRAM-SHA-256", ALICE, PRIVATE, success_data=True)
        assert login is not None
        exchange = spoken("SCRAM-SHA-256", Credentials("alice", "secret"), None)
        first = step(login, exchange.initial())
        assert isinstance(first, Challenge)
        final = exchange.step(first.octets)
        assert isinstance(final, bytes)
        last = step(login, final)
        assert isinstance(last, Success) and last.data is not None
        assert exchange.step(last.data) == b"" and exchange.finished

    def test_names_that_nobody_has_look_like_those_of_users(self) -> None:
        """The same salt at each try and in each process that has the host's secret."""
        challenges = []
        for secret in (b"s" * 32, b"s" * 32, b"t" * 32):
            hooks = Hooks(
                reactor=Clock(), auth=(Bound("auth", "keys", Keys()),), secret=lambda s=secret: s
            )
            login = hooks.logins.begin("SCRAM-SHA-256", ALICE, PRIVATE)
            assert login is not None
            said = step(login, b"n,,n=nobody,r=abc")
            assert isinstance(said, Challenge)
            challenges.append(said.octets.partition(b",s=")[2])
        assert challenges[0] == challenges[1] != challenges[2]

    def test_malformed_is_said_at_once(self) -> None:
        """It tells nothing of anybody, and is no failed login."""
        seen = Remembered()
        said = step(begun("PLAIN", Passwords(), observers=[seen]), b"nonsense")
        assert isinstance(said, Refusal) and said.reason is Reason.MALFORMED
        assert seen.verdicts("auth") == []


class TestFailures:
    @pytest.mark.parametrize("name", [b"alice", b"nobody"])
    def test_a_refusal_takes_a_second_whoever_there_is(self, name: bytes) -> None:
        """Or a multiple of it, if whoever was asked took longer."""
        clock = Clock()
        login = begun("PLAIN", Passwords(), reactor=clock)
        said = Deferred.fromCoroutine(login.step(b"\0" + name + b"\0guess"))
        clock.advance(0.9)
        assert not said.called
        clock.advance(0.1)
        assert isinstance(result_of(said), Refusal)

    def test_who_leaves_leaves_no_timer(self) -> None:
        """Nothing is left to be called."""
        clock = Clock()
        login = begun("PLAIN", Passwords(), reactor=clock)
        said = Deferred.fromCoroutine(login.step(b"\0alice\0guess"))
        login.hurry()
        assert isinstance(result_of(said), Refusal)
        assert clock.getDelayedCalls() == []

    def test_a_fault_is_for_now(self) -> None:
        """Unless somebody else says yes; the client learns a reference and no more."""
        bearer = b"n,a=alice,\x01auth=Bearer t0ken\x01\x01"
        broken = Tokens(RuntimeError("the database's password is x"))
        login = begun("OAUTHBEARER", broken, Tokens(Identity("alice")))
        assert step(login, bearer) == Success("alice")
        clock, seen = Clock(), Remembered()
        login = begun("OAUTHBEARER", broken, Tokens(None), reactor=clock, observers=[seen])
        said = Deferred.fromCoroutine(login.step(bearer))
        clock.advance(1)
        fault = result_of(said)
        assert isinstance(fault, Fault)
        assert seen.verdicts("auth") == ["fault", str(fault.reply(454, "4.7.0"))]
        assert "password" not in repr(seen.events)
        told, _ = seen.events
        assert (told.session, told.facts["client"]) == (ALICE.session, ALICE.address)
        assert told.facts["reference"] == fault.reference

    @pytest.mark.parametrize(
        "answer",
        [
            "alice",
            Identity(""),
            Identity("al\nice"),
            Identity("alice", acts_as="a\0b"),
            KeysFound(Identity("alice"), KEYS),
            True,
        ],
    )
    def test_nonsense_is_a_fault(self, answer: Any) -> None:
        """No name that could forge a header or a line of the log, and nobody else's type."""
        clock = Clock()
        login = begun("OAUTHBEARER", Tokens(answer), reactor=clock)
        said = Deferred.fromCoroutine(login.step(b"n,,\x01auth=Bearer t0ken\x01\x01"))
        clock.advance(1)
        assert isinstance(result_of(said), Fault)

    def test_who_does_not_answer_in_time_is_at_fault(self) -> None:
        """And what comes later counts for nothing."""
        clock, never = Clock(), Deferred[Any]()
        asked = Bound("auth", "slow", Tokens(never), timeout=5)
        login = begun("OAUTHBEARER", asked, reactor=clock)
        said = Deferred.fromCoroutine(login.step(b"n,,\x01auth=Bearer t0ken\x01\x01"))
        clock.advance(5)
        assert isinstance(result_of(said), Fault)


def test_what_was_decided_is_told() -> None:
    """Who, by which mechanism and plugin; why not is for the log, not for the client."""
    seen, clock = Remembered(), Clock()
    hooks = compose_hooks(auth=[Passwords(), Keys()], observers=[seen], reactor=clock)

    def login(response: bytes, who: Client = ALICE) -> None:
        begun = hooks.logins.begin("PLAIN", who, PRIVATE)
        assert begun is not None
        Deferred.fromCoroutine(begun.step(response))
        clock.advance(1)

    login(b"\0alice\0secret")
    login(b"\0alice\0guess")
    login(b"boss\0alice\0secret")
    yes, no, not_for_boss = seen.events
    assert (yes.verdict, yes.plugin) == ("authenticated", "passwords")
    assert (yes.facts["user"], yes.facts["mechanism"]) == ("alice", "PLAIN")
    assert (no.verdict, no.plugin) == ("535 5.7.8 Authentication credentials invalid", "")
    assert not_for_boss.facts["why"] == "the user may not act for another"
    assert "guess" not in repr(seen.events) and "secret" not in repr(seen.events)

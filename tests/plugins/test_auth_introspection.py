"""`[[auth]] plugin = "introspection"`: an endpoint of RFC 7662, in memory and over real HTTP."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from twisted.internet import reactor as real_reactor
from twisted.internet import ssl
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from mailframe.plugin import Duration, SettingError
from mailframe.sasl import Identity, TokenRefused, TokenWanted
from mailframe.testing.certificates import Issued, make_authority
from mailframe.testing.hooks import result_of
from mailframe.testing.plugins import TokenCheckerContract
from mailframe.testing.values import site
from mailframe_plugins.auth_introspection import EndpointFailed, Introspection, Settings, build

reactor: Any = real_reactor
URL = "https://id.example.org/introspect"
ALICE = {"active": True, "username": "alice@example.org", "scope": "mail imap", "aud": "mail"}


class Endpoint:
    """An authorization server in memory: what it says of each token, and what it was asked."""

    def __init__(self, **tokens: Any) -> None:
        self.tokens = tokens
        self.status = 200
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        assert url == URL
        form = parse_qs(body.decode(), strict_parsing=True)
        assert form["token_type_hint"] == ["access_token"]
        (token,) = form["token"]
        self.asked.append((token, headers))
        answer = self.tokens.get(token, {"active": False})
        return self.status, answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    def close(self) -> Deferred[None]:
        raise AssertionError("nobody stops it here")


def checker(endpoint: Any, clock: Clock | None = None, **settings: Any) -> Introspection:
    clock = clock or Clock()
    lent = site(reactor=clock, now=clock.seconds)
    return Introspection(Settings(URL, **settings), lent, endpoint)


def checked(plugin: Introspection, token: str = "good", name: str = "") -> Any:
    return result_of(plugin.check_token(TokenWanted("OAUTHBEARER", token, name)))


class TestContract(TokenCheckerContract, SynchronousTestCase):
    good = ("good", "alice@example.org")

    def make(self) -> Introspection:
        return checker(Endpoint(good=ALICE))


def test_whose_a_token_is() -> None:
    """As the endpoint spells it; the client may spell it otherwise, and not name another."""
    plugin = checker(Endpoint(good=ALICE))
    assert checked(plugin) == Identity("alice@example.org")
    spelt = checked(plugin, name="Alice@Example.org")
    assert spelt == Identity("alice@example.org", acts_as="alice@example.org")
    assert checked(plugin, name="bob@example.org") == Identity("alice@example.org")


def test_the_claim_is_the_operators() -> None:
    """`username`, or whichever else the endpoint tells."""
    endpoint = Endpoint(good={**ALICE, "email": "a@example.org"})
    assert checked(checker(endpoint, claim="email")) == Identity("a@example.org")
    for missing in ("sub", "active"):
        with pytest.raises(EndpointFailed, match=missing):
            checked(checker(endpoint, claim=missing))


@pytest.mark.parametrize(
    ("answer", "settings", "status"),
    [
        ({"active": False}, {}, "invalid_token"),
        ({**ALICE, "exp": 0}, {}, "invalid_token"),
        (ALICE, {"audience": "elsewhere"}, "invalid_token"),
        ({**ALICE, "aud": ["a", "b"]}, {"audience": "mail"}, "invalid_token"),
        ({"active": True, "username": "a"}, {"audience": "mail"}, "invalid_token"),
        (ALICE, {"scope": "mail smtp"}, "insufficient_scope"),
        ({"active": True, "username": "a"}, {"scope": "mail"}, "insufficient_scope"),
    ],
)
def test_why_a_token_does_not_do(answer: Any, settings: Any, status: str) -> None:
    """The client reads it, with what it needs to get a better one (RFC 7628 section 3.2.2)."""
    told = "https://id.example.org/.well-known/openid-configuration"
    plugin = checker(Endpoint(good=answer), configuration=told, **settings)
    assert checked(plugin) == TokenRefused(status, settings.get("scope", ""), told)


def test_scope_and_audience_that_fit() -> None:
    """All that is wanted is there, among other things."""
    several = {**ALICE, "aud": ["imap", "mail"]}
    plugin = checker(Endpoint(good=several), audience="mail", scope="imap mail")
    assert checked(plugin) == Identity("alice@example.org")


@pytest.mark.parametrize(
    "answer",
    [b"<html>", b"[]", b"{}", b"null", {"active": "yes"}, {**ALICE, "exp": "soon"}, b"\xff",
     {"active": True, "username": 7}, {"active": True, "username": ""}],
)  # fmt: skip
def test_an_endpoint_that_does_not_make_sense(answer: Any) -> None:
    """Nobody is let in by it, and nobody's token is to blame."""
    with pytest.raises(EndpointFailed):
        checked(checker(Endpoint(good=answer)))


@pytest.mark.parametrize("status", [204, 302, 401, 403, 429, 500, 503])
def test_an_endpoint_that_does_not_answer(status: int) -> None:
    """401: it is we whom it does not know."""
    endpoint = Endpoint(good=ALICE)
    endpoint.status = status
    with pytest.raises(EndpointFailed, match=str(status)):
        checked(checker(endpoint))


def test_how_we_show_who_we_are() -> None:
    """HTTP Basic as RFC 6749 section 2.3.1 has it, or a token."""
    endpoint = Endpoint(good=ALICE)
    checked(checker(endpoint, client_id="mail host", client_secret="p:w%"))
    checked(checker(endpoint, bearer="ours"))
    checked(checker(endpoint))
    basic, bearer, none = (headers.get("Authorization", "") for _, headers in endpoint.asked)
    assert base64.b64decode(basic.removeprefix("Basic ")) == b"mail+host:p%3Aw%25"
    assert (bearer, none) == ("Bearer ours", "")


def test_a_good_token_is_remembered_for_a_while() -> None:
    """Not longer than it is valid, and never a bad one."""
    clock = Clock()
    endpoint = Endpoint(good=ALICE, short={**ALICE, "exp": 20})
    plugin = checker(endpoint, clock, cache=Duration(60))
    for _ in range(3):
        for token in ("good", "short", "bad"):
            checked(plugin, token)
    assert [token for token, _ in endpoint.asked] == ["good", "short", "bad", "bad", "bad"]
    clock.advance(20)
    assert checked(plugin, "short") == TokenRefused("invalid_token")
    checked(plugin)
    assert len(endpoint.asked) == 6
    clock.advance(40)
    checked(plugin)
    assert len(endpoint.asked) == 7


def test_what_is_remembered_is_bounded() -> None:
    """The oldest go, and no token can be read out of it."""
    endpoint = Endpoint(**{f"good{number}": ALICE for number in range(5)})
    plugin = checker(endpoint, cached=3)
    for number in range(5):
        checked(plugin, f"good{number}")
    assert len(plugin._good._known) == 3
    assert b"good" not in b"".join(plugin._good._known)
    checked(plugin, "good4")
    assert len(endpoint.asked) == 5
    plugin = checker(endpoint, cache=Duration(0))
    checked(plugin), checked(plugin)
    assert len(endpoint.asked) == 7


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"endpoint": "http://id.example.org/x"}, "endpoint"),
        ({"endpoint": "id.example.org"}, "endpoint"),
        ({"endpoint": "ftp://id.example.org"}, "endpoint"),
        ({"endpoint": "https://user:pw@id.example.org/"}, "endpoint"),
        ({"endpoint": "https://id.example.org:x/"}, "endpoint"),
        ({"endpoint": "https://id.example.org/\r\nX: y"}, "endpoint"),
        ({"client_id": "x"}, "client_secret"),
        ({"client_secret": "x"}, "client_id"),
        ({"client_id": "x", "client_secret": "y", "bearer": "z"}, "bearer"),
        ({"claim": ""}, "claim"),
        ({"cached": 0}, "cached"),
        ({"connections": 0}, "connections"),
        ({"authorities": Path("/nowhere/ca.pem")}, "authorities"),
    ],
)
def test_what_cannot_be_is_refused(settings: Any, key: str) -> None:
    """At the start, with the key's name."""
    with pytest.raises(SettingError) as caught:
        build(Settings(**{"endpoint": URL, **settings}), site())
    assert caught.value.key == key


class Introspect(Resource):
    """A real endpoint, or what is wrong with one."""

    isLeaf = True

    def __init__(self, misbehave: Callable[[Any], Any] | None = None) -> None:
        super().__init__()
        self.misbehave = misbehave
        self.asked: list[tuple[bytes, bytes | None]] = []

    def render_POST(self, request: Any) -> Any:
        self.asked.append((request.args[b"token"][0], request.getHeader(b"authorization")))
        if self.misbehave is not None:
            return self.misbehave(request)
        request.setHeader(b"content-type", b"application/json")
        good = request.args[b"token"][0] == b"g.o-o_d~+/=="
        return json.dumps(ALICE if good else {"active": False}).encode()


class TestRealHttp(TestCase):
    """On loopback, as `build` makes it."""

    def plugin(self, resource: Resource, tls: Issued | None = None, **settings: Any) -> Any:
        factory = Site(resource)
        if tls is None:
            port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        else:
            pair = ssl.PrivateCertificate.loadPEM(tls.key + tls.chain)
            port = reactor.listenSSL(0, factory, pair.options(), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        url = f"http{'s' if tls else ''}://localhost:{port.getHost().port}/introspect"
        plugin = build(Settings(url, **settings), site(reactor=reactor))
        self.addCleanup(plugin.stopService)
        return plugin

    def ask(self, plugin: Any, token: str = "g.o-o_d~+/==") -> Deferred[Any]:
        return Deferred.fromCoroutine(plugin.check_token(TokenWanted("XOAUTH2", token, "")))

    async def test_a_token(self) -> None:
        """The form is read as it was meant; the connection is used again."""
        resource = Introspect()
        plugin = self.plugin(resource, client_id="mail", client_secret="secret")
        assert await self.ask(plugin) == Identity("alice@example.org")
        assert await self.ask(plugin, "bad") == TokenRefused("invalid_token")
        basic = b"Basic " + base64.b64encode(b"mail:secret")
        assert resource.asked == [(b"g.o-o_d~+/==", basic), (b"bad", basic)]

    async def test_tls_is_verified(self) -> None:
        """The endpoint is who it should be, or is told no token."""
        authority, folder = make_authority(), Path(self.mktemp())
        folder.mkdir()
        ca = folder / "ca.pem"
        ca.write_bytes(authority.pem)
        resource = Introspect()
        plugin = self.plugin(resource, authority.issue("localhost"), authorities=ca)
        assert await self.ask(plugin) == Identity("alice@example.org")
        for wrong in (authority.issue("elsewhere.example"), make_authority().issue("localhost")):
            with pytest.raises(Exception):  # noqa: B017
                await self.ask(self.plugin(resource, wrong, authorities=ca))
        assert len(resource.asked) == 1

    async def test_an_answer_without_end(self) -> None:
        """64 KB are read at most."""
        resource = Introspect(lambda request: b"x" * (1 << 20))
        with pytest.raises(ValueError, match="more than"):
            await self.ask(self.plugin(resource))

    async def test_an_endpoint_that_hangs(self) -> None:
        """Whoever asks gives up, and others can ask again."""
        resource = Introspect(lambda request: NOT_DONE_YET)
        plugin = self.plugin(resource, connections=1)
        first, second = self.ask(plugin), self.ask(plugin)
        while not resource.asked:
            pause: Deferred[None] = Deferred()
            reactor.callLater(0.01, pause.callback, None)
            await pause
        for asked in (first, second):
            asked.cancel()
            with pytest.raises(Exception) as caught:
                await asked
            assert not isinstance(caught.value, AssertionError)
        resource.misbehave = None
        assert await self.ask(plugin) == Identity("alice@example.org")

    async def test_an_endpoint_that_breaks_off(self) -> None:
        """Half an answer is none."""

        def half(request: Any) -> Any:
            request.setHeader(b"content-length", b"100")
            request.write(b'{"active": true')
            request.transport.loseConnection()
            return NOT_DONE_YET

        with pytest.raises(Exception) as caught:
            await self.ask(self.plugin(Introspect(half)))
        assert not isinstance(caught.value, CancelledError | EndpointFailed)

    async def test_nobody_is_there(self) -> None:
        """A fault, which is a temporary failure to the client."""
        plugin = build(Settings("http://127.0.0.1:1/"), site(reactor=reactor))
        with pytest.raises(Exception) as caught:
            await self.ask(plugin)
        assert "refused" in str(caught.value).lower()

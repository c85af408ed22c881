"""[[auth]] plugin = "introspection", endpoint = "https://id.example.org/introspect"

OAuth 2.0 access tokens for OAUTHBEARER and XOAUTH2. The authorization server's endpoint is asked
which user a token belongs to (RFC 7662). This host logs in there by `client_id` and `client_secret`
(HTTP Basic), or by a `bearer` token of its own. The user's name is the `claim` of the answer.
"""

from __future__ import annotations

import base64
import hmac
import json
import math
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode, urlsplit

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from zope.interface import implementer

from mailframe.interfaces import ITokenChecker
from mailframe.names.ip import ip_or_none
from mailframe.plugin import Duration, Plugin, Secret, SettingError, Site, setting
from mailframe.sasl import Identity, TokenRefused, TokenWanted

if TYPE_CHECKING:
    from mailframe.wire.http_client import HttpClient


@dataclass(frozen=True)
class Settings:
    """The settings."""

    endpoint: str = setting("the URL of the introspection endpoint; https, or http on loopback")
    client_id: str | None = setting("the name of this host at the endpoint", None)
    client_secret: Secret | None = setting("the password of this host at the endpoint", None)
    bearer: Secret | None = setting("a token of this host, instead of name and password", None)
    claim: str = setting('the answer\'s key with the user name: "username", "email", "sub", …',
                         "username")  # fmt: skip
    scope: str = setting("the scopes that a token must have, separated by spaces", "")
    audience: str = setting("the name of this host that a token must be issued for; empty: any", "")
    configuration: str = setting("the URL of the OpenID configuration, which clients are told", "")
    authorities: Path | None = setting(
        "a PEM file of the certificate authorities to trust; by default the platform's", None
    )
    cache: Duration = setting(
        "seconds that a good token is remembered, at most while it is valid; 0: never",
        Duration(60.0),
    )
    cached: int = setting("the most tokens that are remembered", 10_000)
    connections: int = setting("questions to the endpoint at once", 10)


class EndpointFailed(Exception):
    """The endpoint does not answer as it should; that is not the fault of a token."""


class GoodTokens:
    """Remembers the users of tokens for a while.

    It keeps MACs under its own key, not the tokens.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, tuple[float, str]] = OrderedDict()

    def _mac(self, token: str) -> bytes:
        return hmac.digest(self._key, token.encode("utf-8"), "sha256")

    def add(self, token: str, user: str, until: float) -> None:
        """Remember this token until then; if there are too many, the oldest are forgotten."""
        self._known[self._mac(token)] = until, user
        if len(self._known) > self._most:
            self._known.popitem(last=False)

    def find(self, token: str, now: float) -> str | None:
        """The token's user; None if it is not remembered."""
        mac = self._mac(token)
        until, user = self._known.get(mac, (now, None))
        if now < until:
            return user
        self._known.pop(mac, None)
        return None


@implementer(ITokenChecker)
class Introspection(Service):
    """Asks the endpoint, and remembers its answers about good tokens for a while."""

    def __init__(self, settings: Settings, site: Site, http: HttpClient) -> None:
        self._settings = settings
        self._now = site.now
        self._http = http
        self._headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
            "User-Agent": "mailframe",
            **_authorization(settings),
        }
        self._good = GoodTokens(settings.cached)

    def stopService(self) -> Deferred[None]:
        """Called by Twisted: close the idle connections."""
        super().stopService()  # type: ignore[no-untyped-call]
        return self._http.close()

    async def check_token(self, wanted: TokenWanted) -> Identity | TokenRefused | None:
        """The token's user, or why it is refused. Raises EndpointFailed, and exceptions of HTTP."""
        user = self._good.find(wanted.token, self._now())
        if user is None:
            answer = await self._asked(wanted.token)
            refused = self._refusal(answer)
            if refused is not None:
                return refused
            user = self._user(answer)
            self._remember(wanted.token, user, answer)
        # Clients send the name as their user typed it.
        same = wanted.name.casefold() == user.casefold()
        return Identity(user, acts_as=user if same else "")

    async def _asked(self, token: str) -> Mapping[str, Any]:
        form = urlencode({"token": token, "token_type_hint": "access_token"}).encode("ascii")
        status, body = await self._http.post(self._settings.endpoint, form, self._headers)
        if status != 200:
            # RFC 7662 section 2.3: a token that is not good gets a 200, too.
            raise EndpointFailed(f"the introspection endpoint answers {status}")
        try:
            answer = json.loads(body)
        except ValueError:
            raise EndpointFailed("the introspection endpoint answers what is not JSON") from None
        if not isinstance(answer, dict) or not isinstance(answer.get("active"), bool):
            raise EndpointFailed("the introspection endpoint does not say if the token is active")
        return answer

    def _refusal(self, answer: Mapping[str, Any]) -> TokenRefused | None:
        """Why the token is not good enough here (RFC 6750 section 3.1); None if it is."""
        asked = self._settings
        told = {"scope": asked.scope, "configuration": asked.configuration}
        audience = answer.get("aud")
        if not answer["active"] or _number(answer, "exp", math.inf) <= self._now():
            return TokenRefused("invalid_token", **told)
        if asked.audience and asked.audience not in (
            audience if isinstance(audience, list) else [audience]
        ):
            return TokenRefused("invalid_token", **told)
        if not set(asked.scope.split()) <= set(str(answer.get("scope", "")).split()):
            return TokenRefused("insufficient_scope", **told)
        return None

    def _user(self, answer: Mapping[str, Any]) -> str:
        user = answer.get(self._settings.claim)
        if not isinstance(user, str) or not user:
            raise EndpointFailed(f"the introspection endpoint tells no {self._settings.claim!r}")
        return user

    def _remember(self, token: str, user: str, answer: Mapping[str, Any]) -> None:
        if self._settings.cache > 0:
            now = self._now()
            until = min(now + self._settings.cache, _number(answer, "exp", math.inf))
            self._good.add(token, user, until)


def _number(answer: Mapping[str, Any], key: str, default: float) -> float:
    value = answer.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise EndpointFailed(f"the introspection endpoint's {key!r} is no number")
    return value


def _authorization(settings: Settings) -> Mapping[str, str]:
    if settings.bearer is not None:
        return {"Authorization": f"Bearer {settings.bearer}"}
    if settings.client_id is None or settings.client_secret is None:
        return {}
    # RFC 6749 section 2.3.1: each is encoded as in a form, and then for HTTP Basic.
    pair = f"{quote_plus(settings.client_id)}:{quote_plus(settings.client_secret)}"
    return {"Authorization": "Basic " + base64.b64encode(pair.encode("ascii")).decode("ascii")}


def build(settings: Settings, site: Site) -> Introspection:
    """The checker. Raises SettingError."""
    from mailframe.wire.http_client import HttpClient

    _check(settings)
    try:
        http = HttpClient(
            site.reactor, authorities=settings.authorities, connections=settings.connections
        )
    except (OSError, ValueError) as wrong:
        raise SettingError("authorities", str(wrong)) from wrong

    return Introspection(settings, site, http)


def _check(settings: Settings) -> None:
    try:
        url = urlsplit(settings.endpoint)
        host = url.hostname or ""
        sound = settings.endpoint.isascii() and settings.endpoint.isprintable() and url.port != 0
    except ValueError:
        host, sound = "", False
    if not sound or not host or url.scheme not in ("http", "https") or url.username is not None:
        raise SettingError("endpoint", f"{settings.endpoint!r} is no URL of http or https")
    if url.scheme == "http" and not _is_loopback(host):
        raise SettingError("endpoint", "tokens are sent to it: https is wanted")
    if (settings.client_id is None) != (settings.client_secret is None):
        missing = "client_id" if settings.client_id is None else "client_secret"
        raise SettingError(missing, "client_id and client_secret go together")
    if settings.bearer is not None and settings.client_id is not None:
        raise SettingError("bearer", "either bearer, or client_id and client_secret")
    if not settings.claim:
        raise SettingError("claim", "a name is wanted")
    for key in ("cached", "connections"):
        if getattr(settings, key) < 1:
            raise SettingError(key, "must be 1 or more")


def _is_loopback(host: str) -> bool:
    address = ip_or_none(host)
    return host == "localhost" if address is None else address.is_loopback


plugin = Plugin("introspection", ITokenChecker, Settings, build)

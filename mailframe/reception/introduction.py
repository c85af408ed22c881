"""Learns who a client is, from its connection, its hello, TLS and AUTH."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ..eventual import is_later
from ..hooks import Channel
from ..message import Client, Envelope, Tls, new_id
from ..smtp.command import Auth, Ehlo, Helo, Lhlo, Mail, Xclient
from ..smtp.event import AuthLine
from ..smtp.offer import Offer
from ..smtp.reply import AUTHENTICATED, BAD_SEQUENCE, Reply
from ..wire.peer import Peer
from .login import SmtpLogin, auth_refusal
from .shared import Shared

if TYPE_CHECKING:
    from ..hooks import Filtered
    from ..wire.handshake import TlsChannel
    from ..wire.peer import Peer


def client_of(peer: Peer, listener: str, now: float) -> Client:
    """The client as known before it speaks, including the TLS that a proxy ended for it.

    `listener` is its listener's name. `now` is in seconds since the epoch.
    """
    facts, tls = peer.facts, None
    if "tls" in facts:
        tls = Tls(
            facts.get("tls_version", "TLS"),
            facts.get("tls_cipher", "unknown"),
            facts.get("authority", ""),
        )
    return Client(
        peer.address,
        peer.port,
        listener,
        peer.local_address,
        peer.local_port,
        new_id(now),
        tls=tls,
    )


class Introduction:
    """What is known of a client; `client` holds the facts so far.

    Nothing here makes a Deferred unless a hook has to be waited for.
    """

    __slots__ = ("_at_connect", "_at_hello", "_channel", "_login", "_shared", "_xclient", "client")

    def __init__(self, shared: Shared, client: Client, xclient: bool | None = None) -> None:
        self._shared = shared
        self._xclient = xclient
        self.client = client
        # A proxy may have ended the client's TLS.
        private = shared.listener.auth_in_clear or client.tls is not None
        self._channel = Channel(private=private)
        self._login: SmtpLogin | None = None
        self._at_connect: Filtered | None = None
        self._at_hello: Filtered | None = None

    async def connect(self) -> Reply | None:
        """Ask the filters about the connection; their refusal, None if they accept it."""
        found = self._shared.hooks.connected(self.client)
        if is_later(found):
            found = await found
        self._at_connect = found
        if found.signals:
            self.client = replace(self.client, signals=found.signals)
        return found.refusal

    async def hello(self, command: Helo | Ehlo | Lhlo) -> Reply | None:
        """Ask the filters about the hello; returns their refusal.

        If there is none, the name in the hello is the client's name from now on.
        """
        signals = self._at_connect.signals if self._at_connect else {}
        client = self.client.greeted(command.name, self._protocol(type(command)), signals)
        found = self._shared.hooks.hello(client)
        if is_later(found):
            found = await found
        if found.refusal is not None:
            return found.refusal
        self._at_hello = found
        if found.signals:
            client = replace(client, signals={**client.signals, **found.signals})
        self.client = client
        return None

    def _protocol(self, hello: type[Helo | Ehlo | Lhlo]) -> str:
        """The keyword of RFC 3848. HELO has no extensions, and so neither TLS nor AUTH."""
        if hello is Helo:
            return "SMTP"
        secure = "S" if self.client.tls else ""
        known = "A" if self.client.user is not None else ""
        return f"{'LMTP' if hello is Lhlo else 'ESMTP'}{secure}{known}"

    def speak_for(self, command: Xclient) -> Client:
        """The client that XCLIENT names. It replaces the one known so far, in a new session.

        An address or a port that is not named stays as it is. The name, HELO, PROTO and LOGIN are
        reset, as in a new connection. A value that is "[UNAVAILABLE]" becomes unknown. The TLS is
        that of the connection.
        """
        old, said = self.client, command.attributes
        self._login = None
        self._at_connect = self._at_hello = None
        self.client = replace(
            old,
            address=_named(said, "ADDR", old.address, "unknown"),
            port=int(_named(said, "PORT", str(old.port), "0")),
            name=_named(said, "NAME", "" if "ADDR" in said else old.name, ""),
            local_address=_named(said, "DESTADDR", old.local_address, "unknown"),
            local_port=int(_named(said, "DESTPORT", str(old.local_port), "0")),
            session=new_id(self._shared.now()),
            hello=_named(said, "HELO", "", ""),
            protocol=_named(said, "PROTO", "SMTP", "SMTP"),
            user=_named(said, "LOGIN", "", "") or None,
            signals={},
        )
        return self.client

    def envelope(self, command: Mail) -> Envelope:
        """The envelope of a new message of this client."""
        client, now = self.client, self._shared.now()
        # RFC 4954 section 5: AUTH= from a client that has not logged in is ignored.
        auth = command.auth if client.user is not None else command.auth and "<>"
        return Envelope(
            new_id(now),
            client,
            command.sender,
            size=command.size,
            body=command.body,
            smtputf8=command.smtputf8,
            ret=command.ret,
            envid=command.envid,
            auth=auth,
            received=now,
        )

    def forget(self) -> None:
        """TLS begins: forget everything that the client said before it (RFC 3207 section 4.2)."""
        self._login = None
        self._at_hello = None
        self.client = replace(
            self.client,
            hello="",
            protocol="SMTP",
            user=None,
            signals=self._at_connect.signals if self._at_connect else {},
        )

    def secured(self, tls: Tls, channel: TlsChannel) -> None:
        """The handshake is finished."""
        self.client = replace(self.client, tls=tls)
        self._channel = Channel(private=True, tls=channel)

    def offer(self) -> Offer:
        """What EHLO announces now. AUTH is left out if a password would be sent without TLS."""
        shared, listener, limits = self._shared, self._shared.listener, self._shared.limits
        in_clear = self.client.tls is None
        return Offer(
            size=limits.message_size,
            starttls=in_clear and shared.certificates is not None and listener.tls == "starttls",
            auth=shared.hooks.logins.offer(listener.name, self._channel),
            recipients=limits.recipients,
            messages=limits.messages,
            xclient=self._xclient,
        )

    async def auth(self, command: Auth) -> Reply:
        """The answer to AUTH."""
        self._login = SmtpLogin(self._shared.hooks.logins, self.client, self._channel)
        return self._known(await self._login.begin(command))

    def auth_refusal(self, reply: Reply) -> Reply:
        """The reply to a line that is refused with `reply`.

        For AUTH it says whether TLS would help.
        """
        return auth_refusal(reply, self._shared.hooks.logins, self.client)

    async def auth_line(self, line: AuthLine) -> Reply:
        """The answer to a line that follows AUTH."""
        if self._login is None:
            return BAD_SEQUENCE
        return self._known(await self._login.step(line.response))

    def _known(self, user: str | Reply) -> Reply:
        if isinstance(user, Reply):
            return user
        self._login = None
        client = replace(self.client, user=user)
        if client.protocol != "SMTP":
            client = replace(client, protocol=f"{client.protocol}A")
        self.client = client
        return AUTHENTICATED

    def found(self) -> tuple[Filtered, ...]:
        """What filters have found so far."""
        return tuple(each for each in (self._at_connect, self._at_hello) if each is not None)

    def hang_up(self) -> None:
        """The client has gone, so no answer is needed any more."""
        if self._login is not None:
            self._login.hurry()


def _named(said: Mapping[str, str | None], name: str, otherwise: str, unknown: str) -> str:
    """An attribute of XCLIENT; `otherwise` if it is not named, `unknown` if it is unknown."""
    value = said.get(name, otherwise)
    return unknown if value is None else value

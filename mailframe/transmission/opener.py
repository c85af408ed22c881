"""Opens a connection that is ready for mail: dial, greeting, EHLO, TLS, AUTH."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    UNIXClientEndpoint,
)
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from ..message import CertificateJudge
from ..sasl import Credentials
from ..smtp.client import ClientDialogue
from ..smtp.command import Ehlo, Helo, Lhlo, StartTls
from ..smtp.reply import Reply
from ..wire.client_tls import ClientTls
from .connection import Ended, HandshakeFailed, ServerConnection
from .exchanges import Target
from .login import InThread, LoginFailed, log_in
from .times import Timeouts

_LOOP = "says that it is this host: mail loops back"


class Unusable(Exception):
    """The target takes no mail now; `reply` says why, in words for the sender.

    `spoken` is True if they are the host's own words.
    """

    def __init__(self, reply: Reply, *, spoken: bool = False) -> None:
        super().__init__(str(reply))
        self.reply = reply
        self.spoken = spoken


class Unreachable(Unusable):
    """No connection could be made."""


class Opener:
    """Opens connections.

    `hostname` is our name in EHLO. `names` are our other names, by which a host is recognised as
    this one. `bind` are the local addresses to dial from, at most one of each family. `lmtp` speaks
    LMTP. `in_thread` runs the long computations of a login.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        hostname: str,
        reactor: Any,
        tls: ClientTls,
        timeouts: Timeouts,
        bind: Sequence[str] = (),
        lmtp: bool = False,
        names: Sequence[str] = (),
        in_thread: InThread | None = None,
    ) -> None:
        self._hostname = hostname
        self._names = {name.lower() for name in (hostname, *names)}
        self._reactor = reactor
        self._tls = tls
        self._timeouts = timeouts
        self._bind = {":" in address: address for address in bind}
        self._lmtp = lmtp
        self._in_thread = in_thread

    async def open(self, target: Target, *, is_stranger: bool = False) -> ServerConnection:
        """A connection after EHLO (and STARTTLS and AUTH, as the target demands).

        `is_stranger` refuses a host that gives our own name. Raises Unusable, and then nothing
        stays open.
        """
        try:
            return await self._opened(target, is_stranger, in_clear=target.tls == "never")
        except HandshakeFailed as failed:
            if target.tls != "opportunistic":
                raise Unusable(failed.reply) from failed
            # RFC 7435 section 3: if it could not be encrypted, it is sent without.
            try:
                return await self._opened(target, is_stranger, in_clear=True)
            except Ended as ended:
                raise _gone(target, ended) from ended
        except Ended as ended:
            raise _gone(target, ended) from ended

    async def _opened(self, target: Target, is_stranger: bool, in_clear: bool) -> ServerConnection:
        connection = await self._dial(target)
        ready = False
        try:
            if target.tls == "implicit":
                await self._secure(connection, target)
            [greeting] = await connection.listen(self._timeouts.greeting)
            if not greeting.reply.positive:
                raise _unwelcome(target, greeting.reply)
            await self._hello(connection, target)
            if connection.tls is None and not in_clear:
                await self._encrypt(connection, target)
            # A domain that leads to us would make the mail loop (RFC 5321 section 6.3).
            said = {connection.dialogue.extensions.domain, _first_word(greeting.reply)}
            if is_stranger and said & self._names:
                raise Unusable(Reply(554, f"{target} {_LOOP}", "5.4.6"))
            if target.user is not None:
                await self._authenticate(connection, target)
            ready = True
            return connection
        finally:
            if not ready:
                connection.leave()

    async def _dial(self, target: Target) -> ServerConnection:
        dialogue = ClientDialogue(lmtp=self._lmtp)
        factory = Factory.forProtocol(
            lambda: ServerConnection(dialogue, str(target), self._reactor)
        )
        factory.noisy = False
        try:
            connected: Deferred[Any] = self._endpoint(target).connect(factory)
            connection: ServerConnection = await connected
        except ConnectingCancelledError as failed:
            raise CancelledError from failed
        except ConnectTimeout as failed:
            raise Unreachable(Reply(451, f"{target} cannot be reached", "4.4.1")) from failed
        except (ConnectError, OSError) as failed:
            text = f"{target} cannot be reached: {_reason(failed)}"
            raise Unreachable(Reply(451, text, "4.4.1")) from failed
        return connection

    def _endpoint(self, target: Target) -> IStreamClientEndpoint:
        if target.port == 0:
            return UNIXClientEndpoint(  # type: ignore[no-untyped-call]
                self._reactor, target.address, self._timeouts.connect
            )
        is_ipv6 = ":" in target.address
        kind = TCP6ClientEndpoint if is_ipv6 else TCP4ClientEndpoint
        bind = self._bind.get(is_ipv6)
        return kind(
            self._reactor,
            target.address,
            target.port,
            timeout=self._timeouts.connect,
            bindAddress=None if bind is None else (bind, 0),
        )

    async def _hello(self, connection: ServerConnection, target: Target) -> None:
        """EHLO, or HELO if the server does not understand it (RFC 5321 section 3.2)."""
        hello = Lhlo(self._hostname) if self._lmtp else Ehlo(self._hostname)
        [answer] = await connection.ask(hello, timeout=self._timeouts.hello)
        if answer.reply.permanent and not self._lmtp:
            [answer] = await connection.ask(Helo(self._hostname), timeout=self._timeouts.hello)
        if not answer.reply.positive:
            raise _unwelcome(target, answer.reply)

    async def _encrypt(self, connection: ServerConnection, target: Target) -> None:
        """STARTTLS if it is offered; a failure if it is demanded and not offered."""
        refused = Reply(451, f"{target} does not offer TLS, which this route demands", "4.7.10")
        spoken = False
        if "STARTTLS" in connection.dialogue.extensions:
            try:
                [answer] = await connection.ask(StartTls(), timeout=self._timeouts.hello)
                if answer.reply.positive:
                    await self._secure(connection, target)
                    return await self._hello(connection, target)
            except Ended as ended:
                if ended.spoken:
                    raise
                # A connection that breaks around the handshake counts as a failed handshake.
                raise HandshakeFailed(ended.reply) from ended
            refused, spoken = answer.reply, True
        if target.tls != "opportunistic":
            raise Unusable(for_now(refused), spoken=spoken)
        return None

    async def _secure(self, connection: ServerConnection, target: Target) -> None:
        """TLS, with the certificate that the target demands. Raises HandshakeFailed, Unusable."""
        await connection.start_tls(self._options(target), self._timeouts.tls)
        if target.certificates is not None:
            why = self._judged(connection, target, target.certificates)
            if why:
                connection.drop()  # we do not want to talk to it, not even to say QUIT
                text = f"The certificate of {target} will not do: {why}"
                raise HandshakeFailed(Reply(451, text, "4.7.5"))
        connection.tls_words = _words(connection, target)

    def _judged(
        self, connection: ServerConnection, target: Target, certificates: CertificateJudge
    ) -> str:
        """Why the certificates that it showed are refused, "" if they are accepted."""
        chain = () if connection.channel is None else connection.channel.server_chain
        try:
            return certificates.judge(target.host, chain)
        # A judge is a plugin's code, which may raise anything.
        except Exception:  # noqa: BLE001
            self._log.failure("the certificate of {target} could not be judged", target=str(target))
            return "it could not be judged"

    def _options(self, target: Target) -> Any:
        try:
            return self._tls.options(target.host, target.tls)
        except ValueError as wrong:
            text = f"No certificate can name {target.host}"
            raise Unusable(Reply(451, text, "4.7.5")) from wrong

    async def _authenticate(self, connection: ServerConnection, target: Target) -> None:
        """AUTH. The password is never sent in the clear over a network that is not trusted.

        A refusal is not the message's fault: it waits until the operator corrects the password.
        """
        if connection.tls is None and target.tls != "never" and not target.private:
            text = f"{target} offers no TLS, and the password is not sent without"
            raise Unusable(Reply(454, text, "4.7.0"))
        credentials = Credentials(
            target.user or "",
            target.password,
            certificate=connection.tls is not None and self._tls.shows_certificate,
        )
        try:
            await log_in(connection, credentials, self._timeouts.hello, self._in_thread)
        except LoginFailed as failed:
            raise Unusable(for_now(failed.reply), spoken=failed.spoken) from failed


def _words(connection: ServerConnection, target: Target) -> str:
    """See ServerConnection.tls_words."""
    if connection.tls is None:
        return "none"
    is_sure = target.tls in ("verify", "implicit") or target.certificates is not None
    verified = ", verified" if is_sure else ""
    policy = f" ({target.policy})" if target.policy else ""
    return f"{connection.tls.version} {connection.tls.cipher}{verified}{policy}"


def _unwelcome(target: Target, reply: Reply) -> Unusable:
    """The failure for a host that refuses a session. The mail waits: the message is not to blame.

    The host may be down for maintenance, or refuse us for an hour only.
    """
    if reply.permanent:
        status = f"4{reply.status[1:]}" if reply.status else "4.3.2"
        reply = Reply(451, f"{target} refused to talk to us: {reply}", status)
    return Unusable(reply, spoken=True)


def _gone(target: Target, ended: Ended) -> Unusable:
    """A connection that ended before it was ready: the mail waits, whatever was said at its end.

    A reply that nobody had asked for, such as the second one to EHLO, is about no message.
    """
    if ended.reply.positive:
        return Unusable(Reply(451, f"{target} said what answers nothing", "4.5.0"))
    if ended.reply.permanent:
        return _unwelcome(target, ended.reply)
    return Unusable(ended.reply, spoken=ended.spoken)


def _first_word(greeting: Reply) -> str:
    """The host's name in its greeting (RFC 5321 section 4.2), in lower case."""
    return greeting.text.partition(" ")[0].partition("\n")[0].lower()


def for_now(reply: Reply) -> Reply:
    """The refusal as a temporary one, because this host's settings cause it, not the message."""
    if not reply.permanent:
        return reply if reply.temporary else Reply(454, reply.text, "4.7.0")
    return Reply(454, reply.text, f"4{reply.status[1:]}" if reply.status else "4.0.0")


def _reason(failed: Exception) -> str:
    """The operating system's words, such as "Connection refused"."""
    error = getattr(failed, "osError", None)
    number = error if isinstance(error, int) else getattr(failed, "errno", None)
    return os.strerror(number) if number else type(failed).__name__

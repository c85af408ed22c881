"""One connection between Twisted's transport and a plugin's protocol: the host's part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..eventual import Eventual, at_once, is_later
from ..hooks import Channel, new_reference
from ..interfaces import IServedConnection
from ..message import Client, new_id
from ..message.vocabulary import Stage, Verdict
from ..smtp.reply import Reply
from ..wire.handshake import TlsChannel, tls_facts
from ..wire.listener import CLOSE_PATIENCE, NotAdmitted
from ..wire.peer import Peer, peer_of
from ..wire.server_tls import ServerTls
from .entrance import ServedEntrance
from .login import ServedLogin
from .phase import (
    ARRIVED,
    CLOSING,
    FOLLOWS,
    GONE,
    HANDSHAKES,
    OPEN,
    SECURING,
    WRAPPING,
    ServedPhase,
)
from .transport import ServedTransport


@implementer(IServedConnection, IHandshakeListener)
class ServedConnection(Protocol):
    """One client of a plugin's protocol. `phase` is read-only for others."""

    _log = Logger()

    client: Client
    patience: float | None
    phase = ARRIVED

    def __init__(self, factory: ServedEntrance, peer: Peer | None) -> None:
        self._factory = factory
        self._peer = peer
        self.limits = factory.limits
        self.patience = factory.limits.command_timeout
        self._inner: Any = None
        self._tls: ServerTls | None = None
        self._login: ServedLogin | None = None
        self._began = self._since = factory.seconds()

    def _move(self, phase: ServedPhase) -> None:
        if phase not in FOLLOWS[self.phase]:
            raise AssertionError(f"{phase} does not follow {self.phase}")
        self.phase = phase
        self._since = self._factory.seconds()

    def connectionMade(self) -> None:
        """Called by Twisted when a client has connected."""
        factory, transport = self._factory, self._wire
        peer = self._peer or peer_of(transport)
        if hasattr(transport, "setTcpNoDelay") and peer.local_address != "unix":
            transport.setTcpNoDelay(True)
        self.client = Client(
            peer.address,
            peer.port,
            factory.listener.name,
            peer.local_address,
            peer.local_port,
            new_id(factory.now()),
            protocol=factory.listener.protocol.upper(),
        )
        self._channel = Channel(private=factory.listener.auth_in_clear)
        self._lent = ServedTransport(
            transport, self.limits.unread_replies, factory.seconds, self._closing, self.failed
        )
        factory.enter(self)
        refused = factory.admit(self, self.client.address)
        if refused is not None:
            self._refuse(refused)
        elif factory.listener.tls == "implicit":
            self._move(WRAPPING)
            self._handshake()
        else:
            self._begin()

    def _refuse(self, why: NotAdmitted) -> None:
        """Turn a client away, with the plugin's text unless the client expects TLS."""
        self._tell(Verdict.REFUSED, why=why.value)
        refusal = getattr(self._factory.plugin, "refusal", None)
        if refusal is None or self._factory.listener.tls == "implicit":
            self.drop()
        else:
            self._guarded(lambda: self._lent.write(refusal(why.value)))
            self._lent.loseConnection()

    def _begin(self) -> None:
        self._move(OPEN)
        self._tell(Verdict.CONNECTED)
        self._guarded(self._make_session)

    def _make_session(self) -> None:
        self._inner = self._factory.plugin.session(self)
        self._inner.makeConnection(self._lent)

    def _guarded(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Call the plugin; an error in it, now or later, ends this connection and nothing else."""
        try:
            result = at_once(call(*arguments))
            if is_later(result):
                result.addErrback(self.failed)
        except Exception:  # noqa: BLE001
            self.failed()

    def _ask(self, method: str) -> bool:
        """Call the protocol's method; False if it does not have it."""
        call = getattr(self._inner, method, None)
        if call is not None:
            self._guarded(call)
        return call is not None

    def dataReceived(self, data: bytes) -> None:
        """Called by Twisted with octets from the client."""
        # What comes without TLS after TLS was asked for must not reach the protocol.
        if self.phase is OPEN:
            self._lent.active = self._factory.seconds()
            self._guarded(self._inner.dataReceived, data)

    # What the plugin's protocol can ask for.

    @property
    def can_start_tls(self) -> bool:
        """See IServedConnection."""
        offered = self._factory.listener.tls == "starttls" and self._factory.options is not None
        return offered and self.client.tls is None and self.phase is OPEN

    def start_tls(self) -> None:
        """See IServedConnection."""
        if not self.can_start_tls:
            raise ValueError("TLS is not to be begun here now")
        self._move(SECURING)
        self._handshake()

    def mechanisms(self) -> tuple[str, ...]:
        """See IServedConnection."""
        return self._factory.hooks.logins.offer(self.client.listener, self._channel)

    def login(self, mechanism: str, success_data: bool = False) -> ServedLogin | None:
        """See IServedConnection."""
        logins = self._factory.hooks.logins
        login = logins.begin(mechanism, self.client, self._channel, success_data=success_data)
        self._login = None if login is None else ServedLogin(login, self._known)
        return self._login

    def authenticate(self, name: str, password: str) -> Eventual[str | Reply]:
        """See IServedConnection."""
        return at_once(self._authenticate(name, password))

    async def _authenticate(self, name: str, password: str) -> str | Reply:
        logins = self._factory.hooks.logins
        answer = await logins.by_password(name, password, self.client, self._channel)
        if isinstance(answer, str):
            self._known(answer)
        return answer

    def _known(self, user: str) -> None:
        self.client = replace(self.client, user=user)

    def tell(self, verdict: str, **facts: object) -> None:
        """See IServedConnection."""
        told = {**self._known_facts(), **facts, "session": self.client.session}
        self._factory.hooks.tell_of(Stage.SESSION, verdict, "", told)

    def _tell(self, verdict: Verdict, **facts: object) -> None:
        told: dict[str, Any] = {**self._known_facts(), **facts}
        self._factory.hooks.tell(Stage.SESSION, verdict, session=self.client.session, **told)

    def _known_facts(self) -> dict[str, Any]:
        return {"client": self.client.address, "listener": self.client.listener}

    def failed(self, failure: Failure | None = None) -> None:
        """See IServedConnection."""
        factory, reference = self._factory, new_reference()
        failure = failure or Failure()  # type: ignore[no-untyped-call]
        self._log.failure(
            "the protocol {protocol} failed in session {session}, ref {reference}",
            failure=failure,
            protocol=factory.listener.protocol,
            session=self.client.session,
            reference=reference,
        )
        factory.hooks.tell(
            Stage.SERVE,
            Verdict.FAULT,
            plugin=factory.name,
            session=self.client.session,
            reference=reference,
            cause=failure.type.__name__ if failure.type else "error",
            **self._known_facts(),
        )
        self.drop()

    # TLS.

    def _handshake(self) -> None:
        assert self._factory.options is not None
        self._tls = ServerTls(self._factory.options, self._secured)
        self._wire.startTLS(self._tls)

    def handshakeCompleted(self) -> None:
        """Called by Twisted when TLS has begun."""
        if self._tls is not None:
            self._tls.handshakeCompleted()

    def _secured(self, connection: SSL.Connection) -> None:
        self._tls, phase = None, self.phase
        if phase not in HANDSHAKES:
            return
        tls = tls_facts(connection)
        # Forget what was said before TLS (RFC 3207 section 4.2, and other protocols alike).
        self.client = replace(self.client, tls=tls, user=None)
        self._channel = Channel(private=True, tls=TlsChannel(connection, is_server=True))
        self._lent.active = self._factory.seconds()
        self._tell(Verdict.TLS, version=tls.version, cipher=tls.cipher)
        if phase is WRAPPING:
            self._begin()
        else:
            self._move(OPEN)
            self._ask("secured")

    # The end.

    def look_at_clock(self, now: float) -> None:
        """See TimedSession."""
        limits, phase, waited = self.limits, self.phase, now - self._since
        if phase in HANDSHAKES:
            if waited > limits.tls_timeout:
                self.drop()
        elif phase is OPEN:
            self._look_at_protocol(now)
        elif phase is CLOSING:
            patience = CLOSE_PATIENCE
            if self._lent.is_producing:  # it may still have much to send
                waited, patience = now - self._lent.active, limits.data_timeout
            if waited > patience:
                self._wire.abortConnection()

    def _look_at_protocol(self, now: float) -> None:
        limits, lent = self.limits, self._lent
        silent = self.patience is not None and now - lent.active > self.patience
        if lent.unread_since is not None:
            if now - lent.unread_since > limits.data_timeout:
                self._tell(Verdict.TIMED_OUT)
                self.drop()
        elif silent or now - self._began > limits.session_timeout:
            self._tell(Verdict.TIMED_OUT)
            self._ask("timed_out")
            lent.loseConnection()

    def stop(self) -> None:
        """See TimedSession."""
        if self.phase in HANDSHAKES:
            self.drop()
        elif self.phase is OPEN and not self._ask("stop"):
            self._lent.loseConnection()

    def _closing(self) -> None:
        """The protocol has written its last octets."""
        if self.phase not in (CLOSING, GONE):
            self._move(CLOSING)

    def drop(self) -> None:
        """See TimedSession."""
        if self.phase is not GONE:
            self._closing()
            self._wire.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called by Twisted when the connection is closed."""
        self._move(GONE)
        self._tls = None
        if self._login is not None:
            self._login.hurry()
        self._factory.leave(self)
        if self._inner is not None:
            self._guarded(self._inner.connectionLost, reason)
            self._tell(Verdict.DISCONNECTED)

    @property
    def _wire(self) -> Any:
        return self.transport

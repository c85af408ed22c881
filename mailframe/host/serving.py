"""Listeners of protocols that plugins bring (`[[serve]]`): the host's half of each connection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL
from twisted.cred.credentials import UsernamePassword
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..eventual import Eventual, is_later
from ..hooks import Channel, Hooks, Login
from ..interfaces import IServedConnection, IServedProtocol
from ..message import Client, new_id
from ..settings import Limits, Listener
from ..smtp.reply import Reply
from ..wire.certificates import Certificates
from ..wire.handshake import TlsChannel, tls_facts
from ..wire.listener import ListenerFactory
from ..wire.peer import Peer, peer_of
from ..wire.server_tls import ServerTls

if TYPE_CHECKING:
    from twisted.internet.interfaces import ITransport

CLOSE_PATIENCE = 15.0  # seconds for a client to take the last words


class ServedListener(ListenerFactory):
    """One `[[listen]]` whose `protocol` a plugin brings. ValueError as ListenerFactory."""

    def __init__(
        self,
        plugin: Any,
        *,
        listener: Listener,
        limits: Limits,
        hooks: Hooks,
        certificates: Certificates | None,
        reactor: Any,
        now: Callable[[], float],
    ) -> None:
        super().__init__(listener, limits, certificates, reactor)
        self.plugin = plugin
        self.hooks = hooks
        self.now = now

    def client_protocol(self, peer: Peer | None) -> ServedConnection:
        """See ListenerFactory."""
        return ServedConnection(self, peer)

    def no_header(self, proxy: str, why: str) -> None:
        """See ListenerFactory; observers are told as well."""
        super().no_header(proxy, why)
        self.hooks.tell("session", "no PROXY header", client=proxy, why=why)


@implementer(IServedConnection, IHandshakeListener)
class ServedConnection(Protocol):
    """Between Twisted's transport and a plugin's protocol, for one client."""

    _log = Logger()

    client: Client

    def __init__(self, factory: ServedListener, peer: Peer | None) -> None:
        self._factory = factory
        self._peer = peer
        self.limits = factory.limits
        self._inner: Any = None
        self._tls: ServerTls | None = None
        self._ended = False
        self._began = self._since = factory.seconds()

    def connectionMade(self) -> None:
        """Twisted: somebody is there."""
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
        factory.enter(self)
        refused = factory.admit(self, self.client.address)
        if refused is not None:
            self.tell("refused", why=refused.value)
            self.drop()
        elif factory.listener.tls == "implicit":
            self._handshake()
        else:
            self._begin()

    def _begin(self) -> None:
        self.tell("connected")
        try:
            self._inner = self._factory.plugin.session(self)
            self._inner.makeConnection(self._wire)
        # A plugin's fault ends this connection, and nothing else.
        except Exception:  # noqa: BLE001
            self._failed()

    def _ask(self, method: str, *arguments: Any) -> bool:
        """Call the plugin's protocol; False if it has no such method."""
        call = getattr(self._inner, method, None)
        if call is None or self._ended:
            return self._ended
        try:
            result = call(*arguments)
            if is_later(result):
                result.addErrback(self._failed)
        except Exception:  # noqa: BLE001
            self._failed()
        return True

    def _failed(self, failure: Failure | None = None) -> None:
        self._log.failure(
            "the protocol {protocol} failed in session {session}",
            failure=failure,
            protocol=self._factory.listener.protocol,
            session=self.client.session,
        )
        self.drop()

    def dataReceived(self, data: bytes) -> None:
        """Twisted: octets from the client."""
        # What came in the clear behind STARTTLS is not for the protocol.
        if self._tls is None and self._inner is not None:
            self._since = self._factory.seconds()
            self._ask("dataReceived", data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Twisted: it is over."""
        self._ended, inner = True, self._inner
        self._factory.leave(self)
        if inner is not None:
            try:
                inner.connectionLost(reason)
            except Exception:  # noqa: BLE001
                self._log.failure("the protocol failed at its connection's end")

    # What the plugin's protocol may ask for.

    @property
    def can_start_tls(self) -> bool:
        """See IServedConnection."""
        offered = self._factory.listener.tls == "starttls" and self._factory.options is not None
        return offered and self.client.tls is None and self._tls is None

    def start_tls(self) -> None:
        """See IServedConnection."""
        if not self.can_start_tls:
            raise ValueError("TLS is not to be begun here now")
        self._handshake()

    def mechanisms(self) -> tuple[str, ...]:
        """See IServedConnection."""
        return self._factory.hooks.logins.offer(self.client.listener, self._channel)

    def login(self, mechanism: str, success_data: bool = False) -> Login | None:
        """See IServedConnection."""
        logins = self._factory.hooks.logins
        return logins.begin(mechanism, self.client, self._channel, success_data=success_data)

    def authenticate(self, name: str, password: str) -> Eventual[str | Reply]:
        """See IServedConnection."""
        said = UsernamePassword(name.encode("utf-8"), password.encode("utf-8"))
        return self._factory.hooks.authenticate(self.client, said)

    def tell(self, verdict: str, **facts: object) -> None:
        """See IServedConnection."""
        client = self.client
        told: dict[str, Any] = {"client": client.address, "listener": client.listener, **facts}
        self._factory.hooks.tell("session", verdict, session=client.session, **told)

    # TLS.

    def _handshake(self) -> None:
        assert self._factory.options is not None
        self._since = self._factory.seconds()
        self._tls = ServerTls(self._factory.options, self._secured)
        self._wire.startTLS(self._tls)

    def handshakeCompleted(self) -> None:
        """Twisted: all that follows is encrypted."""
        if self._tls is not None:
            self._tls.handshakeCompleted()

    def _secured(self, connection: SSL.Connection) -> None:
        self._tls = None
        self._since = self._factory.seconds()
        tls = tls_facts(connection)
        self.client = replace(self.client, tls=tls)
        self._channel = Channel(private=True, tls=TlsChannel(connection, is_server=True))
        self.tell("tls", version=tls.version, cipher=tls.cipher)
        if self._inner is None:
            self._begin()
        else:
            self._ask("secured")

    # The end.

    def look_at_clock(self, now: float) -> None:
        """See TimedSession."""
        waited, limits = now - self._since, self.limits
        if self._ended:
            if waited > CLOSE_PATIENCE:
                self._wire.abortConnection()
        elif self._tls is not None:
            if waited > limits.tls_timeout:
                self.drop()
        elif waited > limits.command_timeout or now - self._began > limits.session_timeout:
            self.tell("timed out")
            self._end("timed_out")

    def stop(self) -> None:
        """See TimedSession."""
        self._end("stop")

    def _end(self, method: str) -> None:
        if self._ended:
            return
        if self._tls is not None or not self._ask(method):
            self._wire.loseConnection()
        self._ended = True
        self._since = self._factory.seconds()

    def drop(self) -> None:
        """See TimedSession."""
        self._ended = True
        self._wire.abortConnection()

    @property
    def _wire(self) -> Any:
        transport: ITransport | None = self.transport
        return transport


def served_protocols(hooks: Hooks) -> dict[str, Any]:
    """The plugins that bring a protocol, by its name. ValueError for two of one name."""
    found: dict[str, Any] = {}
    for bound in hooks.services:
        if IServedProtocol.providedBy(bound.plugin) or hasattr(bound.plugin, "session"):
            name = str(bound.plugin.protocol)
            if name in found or name in ("smtp", "lmtp"):
                raise ValueError(f"the protocol {name!r} is there already")
            found[name] = bound.plugin
    return found

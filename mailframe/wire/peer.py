"""Who the client is, before any protocol is spoken: the connection's other end, or whom a proxy
speaks for.

A listener with `proxy` networks takes a PROXY header (`proxy`) from each of those peers before
anything else, TLS included, and from nobody else: what another client sends is its first command.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from .proxy import BadHeader, Header, read_header
from .transport import address_of


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end. Addresses are IP addresses as text, "unix" for a unix socket.

    `facts` are what a proxy told besides (`proxy.Header`), `proxy` the proxy's own address, ""
    if there is none.
    """

    address: str
    port: int = 0
    local_address: str = ""
    local_port: int = 0
    facts: Mapping[str, str] = field(default_factory=dict)
    proxy: str = ""


def peer_of(transport: Any) -> Peer:
    """The other end of this connection itself."""
    peer, host = transport.getPeer(), transport.getHost()
    return Peer(
        address_of(peer), getattr(peer, "port", 0), address_of(host), getattr(host, "port", 0)
    )


def _spoken_for(header: Header, connection: Peer) -> Peer:
    if not header.known:
        return connection  # LOCAL, UNKNOWN: a health check of the proxy's own
    return Peer(
        header.source,
        header.source_port,
        header.destination,
        header.destination_port,
        header.facts,
        connection.address,
    )


class Awaited(Protocol):
    """The listener that wants to know the client."""

    def enter(self, session: Any) -> None:
        """A connection is made."""

    def leave(self, session: Any) -> None:
        """It is lost, or somebody else's."""

    def seconds(self) -> float:
        """The reactor's clock."""

    def client_protocol(self, peer: Peer | None) -> TwistedProtocol:
        """The protocol for a client; None: whoever the connection's other end is."""

    def no_header(self, proxy: str, why: str) -> None:
        """A listed proxy, by its address, did not say for whom it speaks."""


class HeaderProtocol(TwistedProtocol):
    """Waits for a PROXY header, then leaves the connection to the client's protocol.

    Not an octet behind the header is taken from a socket that can be looked into first: it may
    be OpenSSL's to read. `patience` is seconds for the whole header.
    """

    def __init__(self, listener: Awaited, patience: float) -> None:
        self._listener = listener
        self._patience = patience
        self._began = listener.seconds()
        self._buffer = b""
        self._ended = False

    def connectionMade(self) -> None:
        """Twisted: a proxy has connected."""
        self._listener.enter(self)
        transport: Any = self.transport
        if hasattr(transport, "measure"):
            transport.measure = self._measure

    def _measure(self, octets: bytes) -> int:
        """How many of the octets that wait belong to the header, as far as is known."""
        try:
            read = read_header(self._buffer + octets)
        except BadHeader:
            return len(octets)
        return len(octets) if read is None else read[1] - len(self._buffer)

    def dataReceived(self, data: bytes) -> None:
        """Twisted: octets of the header; behind it, if the transport cannot be looked into."""
        if self._ended:
            return
        self._buffer += data
        try:
            read = read_header(self._buffer)
        except BadHeader as wrong:
            self._refuse(str(wrong))
            return
        if read is not None:
            header, end = read
            self._hand_over(header)
            if rest := self._buffer[end:]:
                protocol: Any = self.transport.protocol  # type: ignore[union-attr]
                protocol.dataReceived(rest)

    def _hand_over(self, header: Header) -> None:
        self._ended = True
        transport: Any = self.transport
        if hasattr(transport, "measure"):
            transport.measure = None
        protocol: Any = self._listener.client_protocol(_spoken_for(header, peer_of(transport)))
        transport.protocol = protocol
        protocol.makeConnection(transport)
        self._listener.leave(self)

    def _refuse(self, why: str) -> None:
        if not self._ended:
            self._ended = True
            self._listener.no_header(peer_of(self.transport).address, why)
            self.drop()

    def look_at_clock(self, now: float) -> None:
        """See wire.listener.TimedSession."""
        if now - self._began > self._patience:
            self._refuse("it did not come in time")

    def stop(self) -> None:
        """See wire.listener.TimedSession: nothing was said yet."""
        self.drop()

    def drop(self) -> None:
        """See wire.listener.TimedSession."""
        self._ended = True
        self.transport.abortConnection()  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Twisted: the proxy is gone before anybody was here."""
        self._listener.leave(self)

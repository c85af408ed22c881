"""Finds out who the client is, before any protocol begins, if a proxy may stand in front of it.

A listener with `proxy` networks reads a PROXY header (`proxy`) from each of those peers before
anything else, even before TLS. From no other peer is one accepted: what another client sends is its
first command.
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
    """The other end of a connection. Addresses are IP addresses as text, "unix" for a unix socket.

    `facts` are what a proxy has told besides (`proxy.Header`). `proxy` is the proxy's own address,
    "" if there is none.
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
        return connection  # LOCAL or UNKNOWN: a health check by the proxy itself
    return Peer(
        header.source,
        header.source_port,
        header.destination,
        header.destination_port,
        header.facts,
        connection.address,
    )


class Awaited(Protocol):
    """The listener, as far as it is needed here."""

    def enter(self, session: Any) -> None:
        """A connection has been made."""

    def leave(self, session: Any) -> None:
        """A connection is lost, or has been given to the client's protocol."""

    def seconds(self) -> float:
        """The reactor's clock."""

    def client_protocol(self, peer: Peer | None) -> TwistedProtocol:
        """The protocol for a client.

        If `peer` is None, the client is the connection's other end.
        """

    def no_header(self, proxy: str, why: str) -> None:
        """A listed proxy, given by its address, has sent no header."""


class HeaderProtocol(TwistedProtocol):
    """Waits for a PROXY header, then gives the connection to the client's protocol.

    If the socket can be looked into, no octet after the header is read, because OpenSSL may have to
    read it. `patience` is in seconds, for the whole header.
    """

    def __init__(self, listener: Awaited, patience: float) -> None:
        self._listener = listener
        self._patience = patience
        self._began = listener.seconds()
        self._buffer = b""
        self._ended = False

    def connectionMade(self) -> None:
        """Called by Twisted when a proxy has connected."""
        self._listener.enter(self)
        transport: Any = self.transport
        if hasattr(transport, "measure"):
            transport.measure = self._measure

    def _measure(self, octets: bytes) -> int:
        """How many of the waiting octets belong to the header, as far as is known."""
        try:
            read = read_header(self._buffer + octets)
        except BadHeader:
            return len(octets)
        return len(octets) if read is None else read[1] - len(self._buffer)

    def dataReceived(self, data: bytes) -> None:
        """Called by Twisted with octets of the header.

        More may come with them if the socket cannot be looked into.
        """
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
        """See wire.listener.TimedSession. Nothing has been said yet, so it ends at once."""
        self.drop()

    def drop(self) -> None:
        """See wire.listener.TimedSession."""
        self._ended = True
        self.transport.abortConnection()  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called by Twisted when the proxy has gone before its header was complete."""
        self._listener.leave(self)

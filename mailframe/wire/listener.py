"""One listener for any protocol: which clients are accepted, time limits, and stopping."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum
from typing import Any
from typing import Protocol as StructuralProtocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.logger import Logger

from ..names.ip import NetworkSet
from ..repeated import RepeatedLog
from ..settings import Limits, Listener
from .census import Census
from .certificates import Certificates, ServerOptions
from .peer import HeaderProtocol, Peer
from .transport import address_of

LOOK_EVERY = 1.0  # seconds between two looks at the time limits of all sessions
CLOSE_PATIENCE = 15.0  # seconds for a client to read the last reply and close


class NotAdmitted(Enum):
    """Why a client is not admitted."""

    STOPPING = "stopping"
    TOO_MANY = "too many"


class TimedSession(StructuralProtocol):
    """What a listener needs of each session."""

    def look_at_clock(self, now: float) -> None:
        """End the session if the client has taken longer than the limits allow.

        `now` is in seconds.
        """

    def stop(self) -> None:
        """End the session as soon as nothing is lost by that."""

    def drop(self) -> None:
        """Close the connection now, without a reply."""


class ListenerFactory(ServerFactory, ABC):
    """The sessions of one `[[listen]]`; a subclass says which protocol they speak.

    A session calls `enter` when its connection is made and `leave` when it is lost. In between it
    is counted once `admit` has accepted its client: at once, or as soon as the client is known.
    `options` are for TLS, None without certificates. ValueError if the listener needs certificates
    and there are none.

    Subclasses implement `client_protocol`. From peers in the listener's `proxy` networks a PROXY
    header must come first.
    """

    noisy = False
    _log = Logger()

    def __init__(
        self, listener: Listener, limits: Limits, certificates: Certificates | None, reactor: Any
    ) -> None:
        if certificates is None and listener.tls == "implicit":
            raise ValueError(f"listener {listener.name!r}: implicit TLS needs [tls] certificates")
        self.listener, self.limits = listener, limits
        self.options: ServerOptions | None = None
        if certificates is not None:
            self.options = certificates.server_options(listener.client_ca)
        self.reactor = reactor
        self.seconds: Callable[[], float] = reactor.seconds
        self._repeated = RepeatedLog(self._log, self.seconds)
        self._proxies = NetworkSet(listener.proxy)
        self.stopping = False
        self._census = Census(limits.connections, limits.connections_per_client)
        self._sessions: dict[TimedSession, str | None] = {}  # with the address that was counted
        self._clock: IDelayedCall | None = None
        self._unused = False
        self._waiting_for_end: list[Deferred[None]] = []

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """Called by Twisted when a client connects, or a proxy on behalf of one."""
        if self._proxies and address_of(addr) in self._proxies:
            return HeaderProtocol(self, self.limits.proxy_timeout)
        return self.client_protocol(None)

    @abstractmethod
    def client_protocol(self, peer: Peer | None) -> Protocol:
        """The protocol for a client.

        If `peer` is None, the client is the connection's other end.
        """

    def no_header(self, proxy: str, why: str) -> None:
        """A listed proxy, given by its address, has sent no header and is disconnected."""
        self._repeated.warn(
            "listener {listener}: no PROXY header from {proxy}: {why}",
            listener=self.listener.name,
            proxy=proxy,
            why=why,
        )

    @property
    def sessions(self) -> int:
        """The number of connected clients, without those that were refused."""
        return self._census.sessions

    def enter(self, session: TimedSession) -> None:
        """A connection has been made; its time is checked from now on."""
        self._sessions[session] = None
        if self._clock is None:
            self._clock = self.reactor.callLater(LOOK_EVERY, self._look)

    def admit(self, session: TimedSession, address: str) -> NotAdmitted | None:
        """Count the session for the client with this IP address; why not, if it is not admitted.

        If it was counted for another client before, it is counted for this one instead.
        """
        before = self._sessions.get(session)
        if before is not None:
            self._sessions[session] = None
            self._census.leave(before)
        if self.stopping:
            return NotAdmitted.STOPPING
        if not self._census.admit(address):
            return NotAdmitted.TOO_MANY
        self._sessions[session] = address
        return None

    def leave(self, session: TimedSession) -> None:
        """The connection is closed."""
        address = self._sessions.pop(session, None)
        if address is not None:
            self._census.leave(address)
        if not self._sessions:
            self._ended()

    def _look(self) -> None:
        """Check all sessions with one timer, so an idle session costs nothing but this look."""
        self._clock = None
        now = self.seconds()
        for session in list(self._sessions):
            session.look_at_clock(now)
        if self._sessions and self._clock is None:
            self._clock = self.reactor.callLater(LOOK_EVERY, self._look)

    def stopFactory(self) -> None:
        """Called by Twisted when no port uses this factory any more."""
        self._unused = True
        if not self._sessions:
            self._ended()

    def startFactory(self) -> None:
        """Called by Twisted when a port uses this factory."""
        self._unused = False

    def _ended(self) -> None:
        """The last client has gone."""
        if (self._unused or self.stopping) and self._clock is not None:
            self._clock.cancel()
            self._clock = None
        waiting, self._waiting_for_end = self._waiting_for_end, []
        for deferred in waiting:
            deferred.callback(None)

    def emptied(self) -> Deferred[None]:
        """Fires when no client is connected; nothing is done to hurry them."""
        ended: Deferred[None] = Deferred()
        self._waiting_for_end.append(ended)
        if not self._sessions:
            self._ended()
        return ended

    def stop_gracefully(self) -> Deferred[None]:
        """Accept no more clients, and ask all sessions to end as soon as nothing is lost by that.

        Fires when the last client has gone; a caller that cannot wait so long calls `drop()`.
        """
        self.stopping = True
        for session in list(self._sessions):
            session.stop()
        return self.emptied()

    def drop(self) -> None:
        """Close all connections at once, without a reply."""
        for session in list(self._sessions):
            session.drop()

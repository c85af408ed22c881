"""One listener: makes a connection of each client, counts them, keeps time, stops in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger

from ..hooks import Hooks
from ..interfaces import IQueueStore
from ..message import Client
from ..repeated import RepeatedLog
from ..settings import Limits, Listener
from ..smtp.reply import SHUTTING_DOWN, TOO_MANY_CONNECTIONS, Reply
from ..wire.census import Census
from ..wire.certificates import Certificates, ServerOptions
from .connection import Connection
from .transaction import Commit, Shared

LOOK_EVERY = 1.0  # seconds between two looks at the time of all sessions


class Reception(ServerFactory):
    """The way in at one `[[listen]]`.

    `commit(draft, envelope, headers)` makes a message durable and gives it to the scheduler;
    it fails as IDraft.commit does. `now()` is seconds since the epoch; `reactor` keeps all
    other times. ValueError if the listener needs certificates and there are none.
    """

    noisy = False
    _log = Logger()

    def __init__(
        self,
        *,
        hostname: str,
        listener: Listener,
        limits: Limits,
        hooks: Hooks,
        store: IQueueStore,
        certificates: Certificates | None,
        reactor: Any,
        now: Callable[[], float],
        commit: Commit,
    ) -> None:
        if certificates is None and listener.tls == "implicit":
            raise ValueError(f"listener {listener.name!r}: implicit TLS needs [tls] certificates")
        self.listener, self.limits = listener, limits
        self.reactor = reactor
        self.seconds: Callable[[], float] = reactor.seconds
        self.now = now
        self.options = _options(certificates, listener)
        self.shared = Shared(
            hostname=hostname,
            listener=listener,
            limits=limits,
            hooks=hooks,
            store=store,
            reactor=reactor,
            now=now,
            commit=commit,
            tls=certificates is not None,
            repeated=RepeatedLog(self._log, reactor.seconds),
        )
        self.stopping = False
        self._census = Census(limits.connections, limits.connections_per_client)
        self._connections: dict[Connection, str | None] = {}
        self._clock: IDelayedCall | None = None
        self._unused = False
        self._waiting_for_end: list[Deferred[None]] = []

    @property
    def sessions(self) -> int:
        """How many clients are connected, without those that were refused."""
        return self._census.sessions

    def buildProtocol(self, addr: IAddress | None) -> Connection:
        """Twisted: a client connects."""
        return Connection(self)

    def admit(self, connection: Connection, client: Client) -> Reply | None:
        """Take the connection in; the refusal where there are too many, or at the end."""
        refusal = SHUTTING_DOWN if self.stopping else None
        if refusal is None and not self._census.admit(client.address):
            refusal = TOO_MANY_CONNECTIONS
            hooks = self.shared.hooks
            if hooks.observers:
                hooks.tell("session", str(refusal), session=client.session, client=client.address)
        self._connections[connection] = client.address if refusal is None else None
        if self._clock is None:
            self._clock = self.reactor.callLater(LOOK_EVERY, self._look)
        return refusal

    def leave(self, connection: Connection) -> None:
        """The connection is closed."""
        address = self._connections.pop(connection, None)
        if address is not None:
            self._census.leave(address)
        if not self._connections:
            self._ended()

    def _look(self) -> None:
        """One timer for all sessions: what is idle costs nothing but this look."""
        self._clock = None
        now = self.seconds()
        for connection in list(self._connections):
            connection.look_at_clock(now)
        if self._connections:
            self._clock = self.reactor.callLater(LOOK_EVERY, self._look)

    def stopFactory(self) -> None:
        """Twisted: nobody listens for us any more."""
        self._unused = True
        if not self._connections:
            self._ended()

    def startFactory(self) -> None:
        """Twisted: a port listens for us."""
        self._unused = False

    def _ended(self) -> None:
        """The last client is gone."""
        if (self._unused or self.stopping) and self._clock is not None:
            self._clock.cancel()
            self._clock = None
        waiting, self._waiting_for_end = self._waiting_for_end, []
        for deferred in waiting:
            deferred.callback(None)

    def emptied(self) -> Deferred[None]:
        """Fires when no client is here; those that are may take their time."""
        ended: Deferred[None] = Deferred()
        self._waiting_for_end.append(ended)
        if not self._connections:
            self._ended()
        return ended

    def stop_gracefully(self) -> Deferred[None]:
        """Begin no command any more: 421 to idle clients now, to others after the running one.

        Content that is under way may be finished and is committed. Fires when the last client
        is gone; whoever cannot wait so long calls `drop()`.
        """
        self.stopping = True
        ended: Deferred[None] = Deferred()
        self._waiting_for_end.append(ended)
        for connection in list(self._connections):
            connection.stop()
        if not self._connections:
            self._ended()
        return ended

    def drop(self) -> None:
        """Close all connections at once, without a word."""
        for connection in list(self._connections):
            connection.drop()


def _options(certificates: Certificates | None, listener: Listener) -> ServerOptions | None:
    return None if certificates is None else certificates.server_options(listener.client_ca)

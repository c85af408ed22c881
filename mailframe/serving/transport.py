"""The transport that a plugin's protocol writes to: the client's, under the host's control."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IConsumer, IPullProducer, IPushProducer, ITransport
from zope.interface import implementer


@implementer(ITransport, IConsumer, IPushProducer)
class ServedTransport:
    """A transport that does not read from a client that leaves more than `unread` octets unread.

    So a client cannot fill the memory, even if the protocol knows nothing of producers. If the
    protocol has registered a producer, that is paused as well. `active` is the reactor's time when
    octets last went either way. `unread_since` is the time since which none have gone out, None if
    they do. `closing()` is called when the protocol loses the connection, and `failed()` in an
    except block when its producer raises. All other attributes are those of the client's transport.
    """

    def __init__(
        self,
        wire: Any,
        unread: int,
        seconds: Callable[[], float],
        closing: Callable[[], None],
        failed: Callable[[], None],
    ) -> None:
        self._wire = wire
        self._seconds = seconds
        self._closing = closing
        self._failed = failed
        self._is_closing = False
        self._producer: Any = None
        self._pulled = False
        self._replies = _Replies(self)
        self._held_by_us = self._held_by_it = False
        self.active = seconds()
        self.unread_since: float | None = None
        # The transport pauses its producer if it holds more octets than this.
        wire.bufferSize = unread
        wire.registerProducer(self._replies, True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wire, name)

    @property
    def is_producing(self) -> bool:
        """True while a producer of the protocol is at work."""
        return self._producer is not None

    # The methods of ITransport.

    def write(self, data: bytes) -> None:
        """Send it to the client."""
        self.active = self._seconds()
        self._wire.write(data)

    def writeSequence(self, data: Any) -> None:
        """Send all of it to the client."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close, once everything is sent and the producer, if there is one, has finished."""
        if self._is_closing:
            return
        self._is_closing = True
        self._closing()
        self._hold(us=False, it=False)
        if self._producer is None:
            self._wire.unregisterProducer()
        self._wire.loseConnection()

    def abortConnection(self) -> None:
        """Close now; what has not been sent is lost."""
        if not self._is_closing:
            self._is_closing = True
            self._closing()
        self._wire.abortConnection()

    def startTLS(self, *_how: Any, **_more: Any) -> None:
        """ValueError: the host does TLS (`IServedConnection.start_tls`)."""
        raise ValueError("TLS is begun by the connection's start_tls()")

    # The methods of IConsumer.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Let it write as fast as the client reads. RuntimeError if there is one already."""
        if self._producer is not None:
            raise RuntimeError("there is a producer already")
        self._producer, self._pulled = producer, not streaming
        if self._pulled:
            self._wire.unregisterProducer()
            self._wire.registerProducer(_Pulled(self, producer), False)
        elif self.unread_since is not None:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """The producer has finished."""
        pulled, self._pulled, self._producer = self._pulled, False, None
        if pulled or self._is_closing:
            self._wire.unregisterProducer()
        if pulled and not self._is_closing:
            self.unread_since = None
            self._wire.registerProducer(self._replies, True)

    # The methods of IPushProducer, by which the protocol says whether it wants to read.

    def pauseProducing(self) -> None:
        """Read no more from the client."""
        self._hold(self._held_by_us, True)

    def resumeProducing(self) -> None:
        """Read again."""
        self._hold(self._held_by_us, False)

    def stopProducing(self) -> None:
        """Close."""
        self.loseConnection()

    def _hold(self, us: bool, it: bool) -> None:
        held, holds = self._held_by_us or self._held_by_it, us or it
        self._held_by_us, self._held_by_it = us, it
        if holds and not held:
            self._wire.pauseProducing()
        elif held and not holds:
            self._wire.resumeProducing()

    # What the client's transport tells about the octets that it still holds.

    def fills_up(self) -> None:
        """The client reads too little of what it is sent."""
        if self.unread_since is None:
            self.unread_since = self._seconds()
            if not self._is_closing:
                self._hold(True, self._held_by_it)
            if self._producer is not None:
                self._producer.pauseProducing()

    def drains(self) -> None:
        """The client has read everything."""
        if self.unread_since is not None:
            self.unread_since = None
            self.active = self._seconds()
            self._hold(False, self._held_by_it)
            if self._producer is not None:
                self._producer.resumeProducing()

    def pull(self, producer: Any) -> None:
        """The client has read everything: ask a pull producer for the next piece."""
        self.unread_since = None
        producer.resumeProducing()
        if self._producer is producer:
            self.active = self.unread_since = self._seconds()

    def is_lost(self) -> None:
        """The connection is closed."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            producer.stopProducing()
        # The connection must stay in order whatever a plugin's producer does.
        except Exception:  # noqa: BLE001
            self._failed()


@implementer(IPushProducer)
class _Replies:
    """The producer that the client's transport sees, for everything that the protocol writes."""

    def __init__(self, lent: ServedTransport) -> None:
        self._lent = lent

    def pauseProducing(self) -> None:
        self._lent.fills_up()

    def resumeProducing(self) -> None:
        self._lent.drains()

    def stopProducing(self) -> None:
        self._lent.is_lost()


@implementer(IPullProducer)
class _Pulled:
    """The same while a pull producer of the protocol is at work."""

    def __init__(self, lent: ServedTransport, producer: Any) -> None:
        self._lent = lent
        self._producer = producer

    def resumeProducing(self) -> None:
        self._lent.pull(self._producer)

    def stopProducing(self) -> None:
        self._lent.is_lost()

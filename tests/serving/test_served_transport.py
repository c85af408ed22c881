"""What a plugin's protocol writes to: back-pressure, producers, the end."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from mailframe.serving.transport import ServedTransport
from mailframe.testing.serving import ServedWire


class Push:
    """A producer that is told when to write."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class Pull:
    """A producer that writes so many pieces, one whenever it is asked."""

    def __init__(self, lent: ServedTransport, pieces: int) -> None:
        self.lent = lent
        self.pieces = pieces

    def resumeProducing(self) -> None:
        self.lent.write(b"piece ")
        self.pieces -= 1
        if not self.pieces:
            self.lent.unregisterProducer()

    def stopProducing(self) -> None:
        self.pieces = -1


class Lent:
    """A transport over a wire, and what it tells the connection."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.wire = ServedWire()
        self.told: list[str] = []
        self.transport = ServedTransport(
            self.wire,
            100,
            self.clock.seconds,
            lambda: self.told.append("closing"),
            lambda: self.told.append("failed"),
        )


@pytest.fixture
def lent() -> Lent:
    return Lent()


def test_a_client_that_does_not_read_is_not_read_from(lent: Lent) -> None:
    """Until it has read; since when is known."""
    lent.wire.reads = False
    lent.clock.advance(5)
    lent.transport.write(b"x" * 90)
    assert lent.transport.unread_since is None and lent.transport.active == 5
    lent.transport.writeSequence([b"x" * 10, b"x"])
    assert lent.transport.unread_since == 5 and lent.wire.producerState == "paused"
    lent.clock.advance(5)
    lent.wire.read_all()
    assert lent.transport.unread_since is None and lent.transport.active == 10
    assert lent.wire.producerState == "producing"


def test_the_protocol_may_hold_its_client_too(lent: Lent) -> None:
    """It is read from once neither wants it held."""
    lent.wire.reads = False
    lent.transport.pauseProducing()
    lent.transport.write(b"x" * 101)
    lent.wire.read_all()
    assert lent.wire.producerState == "paused"
    lent.transport.resumeProducing()
    assert lent.wire.producerState == "producing"


def test_a_push_producer_is_paused_with_the_client(lent: Lent) -> None:
    """At once if the client is behind already; stopped when the connection is lost."""
    lent.wire.reads = False
    lent.transport.write(b"x" * 101)
    producer = Push()
    lent.transport.registerProducer(producer, True)
    assert producer.told == ["pause"]
    lent.wire.read_all()
    assert producer.told == ["pause", "resume"]
    with pytest.raises(RuntimeError):
        lent.transport.registerProducer(Push(), True)
    lent.wire.producer.stopProducing()  # as Twisted's transports do
    assert producer.told[-1] == "stop"


def test_a_pull_producer_is_asked_for_each_piece(lent: Lent) -> None:
    """And the host stands with the transport again when it is done."""
    producer = Pull(lent.transport, 3)
    lent.transport.registerProducer(producer, False)
    assert lent.transport.is_producing and lent.transport.unread_since == 0
    while producer.pieces:
        lent.clock.advance(1)
        lent.wire.producer.resumeProducing()
    assert lent.wire.value() == b"piece piece piece "  # type: ignore[no-untyped-call]
    assert not lent.transport.is_producing and lent.transport.unread_since is None
    assert lent.transport.active == 2 and lent.wire.streaming


def test_a_producer_may_finish_before_the_end(lent: Lent) -> None:
    """The transport closes when it is done, not before; nobody is left with it then."""
    producer = Push()
    lent.transport.registerProducer(producer, True)
    lent.transport.loseConnection()
    lent.transport.loseConnection()
    assert lent.told == ["closing"] and lent.wire.producer is not None
    lent.transport.write(b"the rest")
    lent.transport.unregisterProducer()
    assert lent.wire.producer is None
    assert lent.wire.value() == b"the rest"  # type: ignore[no-untyped-call]


def test_a_producer_s_fault_at_the_end_is_told(lent: Lent) -> None:
    """The connection is left in order whatever it does."""
    producer: Any = Push()
    producer.stopProducing = None
    lent.transport.registerProducer(producer, True)
    lent.wire.producer.stopProducing()
    assert lent.told == ["failed"]


def test_tls_is_the_hosts(lent: Lent) -> None:
    """Protocols of Twisted's own begin it at their transport: they are told how."""
    with pytest.raises(ValueError, match="start_tls"):
        lent.transport.startTLS(object())


def test_the_rest_is_the_transports_own(lent: Lent) -> None:
    """Addresses, for example."""
    assert lent.transport.getPeer().host == "192.0.2.7"
    lent.transport.abortConnection()
    assert lent.wire.aborted and lent.told == ["closing"]

"""The contract test for the protocols that `[[serve]]` plugins bring.

class TestWhoami(ServedProtocolContract, SynchronousTestCase):
    conversation = b"WHOAMI\\r\\nNOOP\\r\\n"

    def make(self) -> Whoami:
        return Whoami({}, site(reactor=self.clock))
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from ..interfaces import IServedProtocol
from ..serving import ServedConnection, ServedListener
from ..settings import Limits, Listener
from .contract import Contract
from .hooks import Remembered, compose_hooks


class ServedWire(StringTransport):
    """The transport of a client in memory; `reads` is False while the client reads nothing."""

    def __init__(self, address: str = "192.0.2.7") -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            IPv4Address("TCP", "192.0.2.1", 4711), IPv4Address("TCP", address, 40000)
        )
        self.bufferSize = 1 << 16
        self.aborted = False
        self.reads = True
        self._unread = 0

    def write(self, data: bytes) -> None:
        """As in Twisted; and the producer is paused if too much is unread."""
        super().write(data)  # type: ignore[no-untyped-call]
        self._unread = 0 if self.reads else self._unread + len(data)
        if self._unread > self.bufferSize and self.producer is not None and self.streaming:
            self.producer.pauseProducing()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """As in Twisted.

        A pull producer is asked for its first piece, as by a socket's transport.
        """
        super().registerProducer(producer, streaming)  # type: ignore[no-untyped-call]
        if not streaming:
            producer.resumeProducing()

    def read_all(self) -> None:
        """The client reads what it was sent, and everything that follows."""
        self.reads, self._unread = True, 0
        if self.producer is not None:
            self.producer.resumeProducing()

    def abortConnection(self) -> None:
        """Remember that it was called."""
        self.aborted = self.disconnecting = True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Does nothing."""


class ServedTalk:
    """A client's side of one connection to a plugin's protocol, without TLS."""

    def __init__(self, listener: ServedListener) -> None:
        self.wire = ServedWire()
        protocol = listener.client_protocol(None)
        assert isinstance(protocol, ServedConnection)
        self.connection = protocol
        self.connection.makeConnection(self.wire)  # type: ignore[no-untyped-call]

    def send(self, pieces: Iterable[bytes]) -> None:
        """Send these octets one piece after the other, until the connection is closed."""
        for piece in pieces:
            if not self.wire.disconnecting:
                self.connection.dataReceived(piece)

    @property
    def heard(self) -> bytes:
        """Everything that was sent to the client."""
        return b"".join([self.wire.value()])  # type: ignore[no-untyped-call]

    @property
    def closed(self) -> bool:
        """True if the server's side has closed it."""
        return bool(self.wire.disconnecting)

    def hang_up(self) -> None:
        """Close the connection from the client's side."""
        self.connection.connectionLost(Failure(ConnectionDone()))  # type: ignore[no-untyped-call]


class ServedProtocolContract(Contract):
    """`[[serve]]` with a protocol. Time is `clock`'s, so build the plugin with it as its reactor.

    `conversation` is what a client may say without TLS; it must not end the session. An idle
    session that is told to stop must have ended within `stops_within` seconds.
    """

    interface = IServedProtocol
    conversation = b""
    stops_within = 30

    @property
    def clock(self) -> Clock:
        """The reactor of this test."""
        found: Clock | None = self.__dict__.get("_clock")
        if found is None:
            found = self.__dict__["_clock"] = Clock()
        return found

    def listener(self, **limits: Any) -> ServedListener:
        """A listener for the plugin's protocol."""
        self.seen = Remembered()
        plugin = self.make()
        return ServedListener(
            plugin,
            listener=Listener("served", "tcp:0", plugin.protocol),
            limits=Limits(**limits),
            hooks=compose_hooks(observers=[self.seen], reactor=self.clock),
            certificates=None,
            reactor=self.clock,
            now=self.clock.seconds,
        )

    def spoken(self, pieces: Iterable[bytes]) -> bytes:
        """What a client reads if it says this."""
        talk = ServedTalk(self.listener())
        talk.send(pieces)
        self.clock.pump([1.0] * 3)
        heard = talk.heard
        talk.hang_up()
        self.assert_sound()
        return self.normalised(heard)

    def normalised(self, heard: bytes) -> bytes:
        """The same without parts that differ each time; override it if there is a time or an id."""
        return heard

    def assert_sound(self) -> None:
        """Nothing has failed, and nothing of the session is left."""
        self.clock.advance(1)  # the listener checks its sessions once more
        failed: Any = self.flushLoggedErrors()  # type: ignore[attr-defined]
        assert not failed, failed
        left = [call for call in self.clock.getDelayedCalls() if call.active()]
        assert not left, f"left behind: {left}"

    def test_its_name_is_a_word_of_the_configuration(self) -> None:
        """It is in lower case, and not the name of one of the host's own protocols."""
        name = self.make().protocol
        assert isinstance(name, str) and name == name.lower().strip() and name
        assert name not in ("smtp", "lmtp")

    def test_any_cut_of_the_octets_is_the_same(self) -> None:
        """Whole, octet by octet or in sevens: the client reads the same."""
        said = self.conversation
        whole = self.spoken([said])
        for size in (1, 7):
            pieces = [said[at : at + size] for at in range(0, len(said), size)]
            assert self.spoken(pieces) == whole, f"in pieces of {size}"

    def test_garbage_is_no_fault(self) -> None:
        """No octets cause an exception, and a line without end does not fill the memory."""
        chance = random.Random(5321)
        garbage = [chance.randbytes(chance.randrange(1, 300)) for _ in range(200)]
        self.spoken(garbage)
        self.spoken([octets + b"\r\n" for octets in garbage])
        self.spoken([b"\r\n", b"\0", b"\n", b"\r", *garbage[:20]])
        self.spoken([b"x" * 4096] * 256)

    def test_a_client_may_go_at_any_time(self) -> None:
        """Wherever the conversation breaks off, nothing fails and nothing is left."""
        said = self.conversation
        for at in range(0, len(said) + 1, max(1, len(said) // 50)):
            talk = ServedTalk(self.listener())
            talk.send([said[:at]])
            talk.hang_up()
            self.clock.pump([1.0] * 3)
            self.assert_sound()

    def test_it_stops(self) -> None:
        """An idle session that is told to stop closes its connection in time."""
        listener = self.listener()
        talk = ServedTalk(listener)
        stopped = listener.stop_gracefully()
        for _ in range(self.stops_within):
            if not talk.closed:
                self.clock.advance(1)
        assert talk.closed, f"not within {self.stops_within} seconds"
        talk.hang_up()
        assert stopped.called
        self.assert_sound()

    def test_a_silent_client_is_let_go(self) -> None:
        """When the time is over that the protocol itself allows."""
        talk = ServedTalk(self.listener())
        patience = talk.connection.patience
        assert patience is not None, "before the client has said anything it is its turn"
        self.clock.pump([1.0] * (int(patience) + 3))
        assert talk.closed
        talk.hang_up()
        self.assert_sound()

    def test_a_client_that_reads_nothing_is_waited_for_and_let_go(self) -> None:
        """Its replies do not fill the memory, and its connection is not kept for ever."""
        bound = 1000 + 2 * len(self.spoken([self.conversation]))
        talk = ServedTalk(self.listener(unread_replies=1000, data_timeout=20.0))
        talk.wire.reads = False
        for _ in range(5000):
            if talk.wire.producerState == "producing" and not talk.closed:
                talk.send([self.conversation])
        assert len(talk.heard) <= bound, f"{len(talk.heard)} octets wait for the client"
        if talk.wire.producerState != "producing":
            self.clock.pump([1.0] * 22)
            assert talk.wire.aborted
        talk.hang_up()
        self.assert_sound()

"""One question to one server: UDP from a fresh port, TCP where the answer did not fit."""

from __future__ import annotations

import secrets
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import CannotListenError, ConnectError, ConnectionLost
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.protocol import DatagramProtocol, Factory
from twisted.names import dns
from twisted.protocols.basic import Int16StringReceiver

from .wire import Question, read_response, response_code

_NO_EDNS_PLEASE = frozenset({dns.EFORMAT, dns.ENOTIMP, 16})  # 16: BADVERS


class NoResponse(Exception):
    """The server cannot be asked, or went away."""


class _Datagram(DatagramProtocol):
    """Waits for the one response; whatever else arrives at the port is not it.

    The port is the kernel's choice, new for each question, and the socket is connected, so
    that only the server's own datagrams are seen (RFC 5452 sections 9.1 and 9.2).
    """

    noisy = False  # a line in the log for every question says nothing

    def __init__(self, server: tuple[str, int], question: Question, edns: bool) -> None:
        self._server = server
        self._question = question
        self._edns = edns
        self._id = secrets.randbits(16)
        self.response: Deferred[dns.Message] = Deferred()

    def ask(self) -> None:
        """Send the question."""
        transport: Any = self.transport
        try:
            transport.connect(*self._server)
            transport.write(self._question.to_bytes(self._id, self._edns))
        except OSError as failed:
            self.response.errback(NoResponse(f"no way to the name server: {failed}"))

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        message = read_response(datagram, self._question, self._id)
        if message is not None and not self.response.called:
            self.response.callback(message)

    def connectionRefused(self) -> None:
        self._nobody_there()

    def stopProtocol(self) -> None:
        # The epoll reactor takes a socket with a pending error (ICMP) for lost.
        self._nobody_there()

    def _nobody_there(self) -> None:
        if not self.response.called:
            self.response.errback(NoResponse("no name server at that port"))


class _Stream(Int16StringReceiver):
    """The same over TCP (RFC 7766)."""

    def __init__(self, question: Question, edns: bool) -> None:
        self._question = question
        self._edns = edns
        self._id = secrets.randbits(16)
        self.response: Deferred[dns.Message] = Deferred()

    def connectionMade(self) -> None:
        self.sendString(  # type: ignore[no-untyped-call]
            self._question.to_bytes(self._id, self._edns)
        )

    def stringReceived(self, string: bytes) -> None:
        message = read_response(string, self._question, self._id)
        if message is not None and not message.trunc and not self.response.called:
            self.response.callback(message)

    def connectionLost(self, reason: Any = None) -> None:
        if not self.response.called:
            self.response.errback(NoResponse("the connection closed without an answer"))


async def exchange(
    reactor: Any, server: tuple[str, int], question: Question, wait: float
) -> dns.Message:
    """The server's response, within `wait` seconds for each of UDP and TCP.

    Raises NoResponse, or TimeoutError where it stays silent. Cancelling closes the sockets.
    """
    message = await _ask(reactor, server, question, wait, edns=True)
    if response_code(message) in _NO_EDNS_PLEASE:
        # RFC 6891 section 7: a server that does not know EDNS is asked without.
        message = await _ask(reactor, server, question, wait, edns=False)
    return message


async def _ask(
    reactor: Any, server: tuple[str, int], question: Question, wait: float, edns: bool
) -> dns.Message:
    message = await _ask_by_udp(reactor, server, question, wait, edns)
    if message.trunc:
        return await _ask_by_tcp(reactor, server, question, wait, edns)
    return message


async def _ask_by_udp(
    reactor: Any, server: tuple[str, int], question: Question, wait: float, edns: bool
) -> dns.Message:
    protocol = _Datagram(server, question, edns)
    interface = "::" if ":" in server[0] else ""
    try:
        port = reactor.listenUDP(0, protocol, interface=interface, maxPacketSize=65535)
    except (CannotListenError, OSError) as failed:
        raise NoResponse(f"no socket for a question: {failed}") from failed
    try:
        protocol.ask()
        return await protocol.response.addTimeout(wait, reactor)
    finally:
        port.stopListening()


async def _ask_by_tcp(
    reactor: Any, server: tuple[str, int], question: Question, wait: float, edns: bool
) -> dns.Message:
    endpoint = (TCP6ClientEndpoint if ":" in server[0] else TCP4ClientEndpoint)(
        reactor, *server, timeout=wait
    )
    try:
        stream = await endpoint.connect(Factory.forProtocol(lambda: _Stream(question, edns)))
    except ConnectTimeout:
        raise
    except (ConnectError, ConnectionLost) as failed:
        raise NoResponse("the server takes no TCP connection") from failed
    assert isinstance(stream, _Stream)
    try:
        return await stream.response.addTimeout(wait, reactor)
    finally:
        transport: Any = stream.transport
        transport.abortConnection()

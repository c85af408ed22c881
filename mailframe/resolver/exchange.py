"""Asks one server one question: by UDP from a new port, by TCP if the answer does not fit."""

from __future__ import annotations

import secrets
import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError, ConnectionLost
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.internet.protocol import Factory
from twisted.names import dns
from twisted.protocols.basic import Int16StringReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from .wire import DnsQuestion, read_response, response_code

_MOST = 65535  # octets of a datagram
_NO_EDNS_PLEASE = frozenset({dns.EFORMAT, dns.ENOTIMP, 16})  # 16: BADVERS


class NoResponse(Exception):
    """The server cannot be asked, or has closed the connection."""


@implementer(IReadDescriptor)
class _Datagram:
    """Waits for one response; anything else that arrives at the port is ignored.

    The kernel chooses the port, a new one for each question. The socket is connected, so only
    datagrams of the server arrive (RFC 5452 sections 9.1 and 9.2). Twisted's own UDP port would
    write two lines into the log for every question.
    """

    def __init__(self, server: tuple[str, int], question: DnsQuestion, edns: bool) -> None:
        self._server = server
        self._question = question
        self._edns = edns
        self._id = secrets.randbits(16)
        self._socket: socket.socket | None = None
        self.response: Deferred[dns.Message] = Deferred()

    def ask(self, reactor: IReactorFDSet) -> None:
        """Send the question. Raises NoResponse; call `close` in any case."""
        family = socket.AF_INET6 if ":" in self._server[0] else socket.AF_INET
        try:
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
        except OSError as failed:
            raise NoResponse(f"no socket for a question: {failed}") from failed
        try:
            self._socket.setblocking(False)
            self._socket.connect(self._server)
            self._socket.send(self._question.to_bytes(self._id, self._edns))
        except OSError as failed:
            raise NoResponse(f"no way to the name server: {failed}") from failed
        reactor.addReader(self)

    def close(self, reactor: IReactorFDSet) -> None:
        """Close the socket."""
        if self._socket is not None:
            reactor.removeReader(self)
            self._socket.close()

    def doRead(self) -> None:
        """Called by Twisted when a datagram has arrived."""
        assert self._socket is not None
        try:
            self.heard(self._socket.recv(_MOST))
        except BlockingIOError:
            pass  # the kernel dropped a datagram with a wrong checksum
        except OSError:
            self._nobody_there()

    def heard(self, datagram: bytes) -> None:
        """Handle a datagram; it may be the response."""
        message = read_response(datagram, self._question, self._id)
        if message is not None and not self.response.called:
            self.response.callback(message)

    def connectionLost(self, reason: Failure) -> None:
        """Called by Twisted: the epoll reactor takes a pending error (ICMP) for a lost socket."""
        self._nobody_there()

    def _nobody_there(self) -> None:
        if not self.response.called:
            self.response.errback(NoResponse("no name server at that port"))

    def fileno(self) -> int:
        """The descriptor that Twisted watches."""
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        """The name in Twisted's log."""
        return "DNS"


class _Stream(Int16StringReceiver):
    """The same over TCP (RFC 7766)."""

    def __init__(self, question: DnsQuestion, edns: bool) -> None:
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
    reactor: Any, server: tuple[str, int], question: DnsQuestion, wait: float
) -> dns.Message:
    """The server's response, within `wait` seconds for each of UDP and TCP.

    Raises NoResponse, or TimeoutError if the server does not answer. Cancelling closes the sockets.
    """
    message = await _ask(reactor, server, question, wait, edns=True)
    if response_code(message) in _NO_EDNS_PLEASE:
        # RFC 6891 section 7: a server that does not support EDNS is asked again without it.
        message = await _ask(reactor, server, question, wait, edns=False)
    return message


async def _ask(
    reactor: Any, server: tuple[str, int], question: DnsQuestion, wait: float, edns: bool
) -> dns.Message:
    message = await _ask_by_udp(reactor, server, question, wait, edns)
    if message.trunc:
        return await _ask_by_tcp(reactor, server, question, wait, edns)
    return message


async def _ask_by_udp(
    reactor: Any, server: tuple[str, int], question: DnsQuestion, wait: float, edns: bool
) -> dns.Message:
    datagram = _Datagram(server, question, edns)
    try:
        datagram.ask(reactor)
        return await datagram.response.addTimeout(wait, reactor)
    finally:
        datagram.close(reactor)


async def _ask_by_tcp(
    reactor: Any, server: tuple[str, int], question: DnsQuestion, wait: float, edns: bool
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

"""DNS for tests: a real server on loopback, and a Resolver that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol, Factory
from twisted.internet.task import Clock
from twisted.names import dns
from twisted.protocols.basic import Int16StringReceiver
from twisted.python.failure import Failure

from ..resolver import Answer, Resolver, Unresolvable
from ..resolver.cache import Found
from ..resolver.wire import DnsQuestion, response_code
from .zone import Zone

__all__ = ["DnsServer", "StaticResolver", "Zone"]

_TRIES = 20  # attempts to find a port that is free for UDP and TCP


class DnsServer:
    """Answers from a Zone over UDP and TCP, on the same port.

        server = DnsServer("example.org MX 10 mx.example.org")
        server.start(reactor)
        resolver = Resolver(reactor, server.servers)
        ...
        await server.stop()

    `asked` lists the questions as they came, such as ("udp", "example.org MX"). With `edns` False
    it answers FORMERR to queries that use EDNS, as old servers do.
    """

    def __init__(self, zone: Zone | str = "", edns: bool = True) -> None:
        self.zone = Zone(zone) if isinstance(zone, str) else zone
        self.edns = edns
        self.asked: list[tuple[str, str]] = []
        self.address = ("127.0.0.1", 0)
        self._ports: list[Any] = []

    @property
    def servers(self) -> Sequence[tuple[str, int]]:
        """The servers to give to a Resolver, so that it asks this one."""
        return [self.address]

    def start(self, reactor: Any, port: int = 0, interface: str = "127.0.0.1") -> None:
        """Listen; port 0 is any free one. Raises CannotListenError."""
        for attempt in range(_TRIES):
            tcp = reactor.listenTCP(port, _streams(self), interface=interface)
            number = tcp.getHost().port
            try:
                udp = reactor.listenUDP(number, _Datagrams(self), interface=interface)
            except CannotListenError:
                tcp.stopListening()
                if port or attempt == _TRIES - 1:
                    raise
                continue
            self._ports = [tcp, udp]
            self.address = (interface, number)
            return

    def stop(self) -> Deferred[Any]:
        """Fires when the ports are closed."""
        ports, self._ports = self._ports, []
        return gatherResults([maybeDeferred(port.stopListening) for port in ports])

    def respond(self, octets: bytes, transport: str) -> bytes | None:
        """The response to a query, as octets.

        None for silence, and for octets that are no query.
        """
        query = dns.Message()
        try:
            query.fromStr(octets)
        except (EOFError, ValueError):
            return None
        if not query.queries:
            return None
        asked: Any = query.queries[0]
        question = DnsQuestion(asked.name.name.decode("ascii", "backslashreplace"), asked.type)
        self.asked.append((transport, str(question)))
        if query.additional and not self.edns:
            refusal = dns.Message(query.id, answer=1, rCode=dns.EFORMAT)
            return refusal.toStr()
        response = self.zone.respond(query, udp=transport == "udp")
        return response.toStr() if response else None


class _Datagrams(DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        response = self._server.respond(datagram, "udp")
        transport: Any = self.transport
        if response is not None:
            transport.write(response, addr)


class _Stream(Int16StringReceiver):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def stringReceived(self, string: bytes) -> None:
        response = self._server.respond(string, "tcp")
        if response is not None:
            self.sendString(response)  # type: ignore[no-untyped-call]


def _streams(server: DnsServer) -> Any:
    factory = Factory.forProtocol(lambda: _Stream(server))
    factory.noisy = False
    return factory


class StaticResolver(Resolver):
    """A Resolver whose answers come from a Zone, at once: no reactor, no sockets.

    Failures are raised at once too. `asked` lists the questions that were not in its cache, such as
    "example.org MX".
    """

    def __init__(self, zone: Zone | str = "", cache_size: int = 0) -> None:
        clock = Clock()
        super().__init__(clock, [("192.0.2.53", 53)], 1.0, cache_size, clock.seconds, hosts=None)
        self.zone = Zone(zone) if isinstance(zone, str) else zone
        self.asked: list[str] = []
        self._servers = self

    async def ask(self, question: DnsQuestion) -> dns.Message:
        """The zone's response."""
        self.asked.append(str(question))
        query = dns.Message()
        query.fromStr(question.to_bytes(0))
        response = self.zone.respond(query)
        if response is None or response_code(response) not in (dns.OK, dns.ENAME):
            raise Unresolvable(f"{question}: no answer", temporary=True)
        return response

    def _found(self, question: DnsQuestion) -> Found | Deferred[Answer[Any]]:
        found = super()._found(question)
        if not isinstance(found, Deferred):
            return found
        results: list[Any] = []
        found.addBoth(results.append)
        result = results[0]
        if isinstance(result, Failure):
            if not isinstance(result.value, Unresolvable):
                result.raiseException()
            return result.value
        answer: Answer[Any] = result
        return answer

"""Asks several name servers in turn until one answers or the time is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import DeferredSemaphore
from twisted.internet.defer import TimeoutError as WaitedTooLong
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.logger import Logger
from twisted.names import dns

from ..names.ip import ip_or_none
from ..names.records import Unresolvable
from .exchange import NoResponse, exchange
from .wire import DnsQuestion, response_code

Server = tuple[str, int]

_AT_ONCE = 256  # questions under way; each needs a socket
_ROUNDS = 10  # the first wait for a server is the timeout divided by this; it doubles each round


def parse_server(text: str) -> Server:
    """ "192.0.2.1", "192.0.2.1:5353", "2001:db8::1" or "[2001:db8::1]:5353"; ValueError."""
    host, port = text, "53"
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"{text!r} is not an address with a port")
        port = rest[1:] or "53"
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if ip_or_none(host) is None:
        raise ValueError(f"{text!r}: a name server is given by its IP address")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{text!r}: {port!r} is not a port")
    return host, int(port)


class Servers:
    """Asks the servers in turn, beginning with the one that answered last.

    A server that answers SERVFAIL or REFUSED, or that cannot be reached, is not asked again for
    this question. A server that is silent is asked again in the next round, with twice the wait.
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, servers: Callable[[], Sequence[Server]], timeout: float
    ) -> None:
        self._reactor = reactor
        self._servers = servers
        self._timeout = timeout
        self._places = DeferredSemaphore(_AT_ONCE)
        self._good: Server | None = None

    async def ask(self, question: DnsQuestion) -> dns.Message:
        """A response with NOERROR or NXDOMAIN. Raises Unresolvable(temporary=True)."""
        deadline = self._reactor.seconds() + self._timeout
        try:
            await self._places.acquire().addTimeout(self._timeout, self._reactor)
        except WaitedTooLong as late:
            raise Unresolvable(f"{question}: too many questions", temporary=True) from late
        try:
            return await self._ask_in_turn(question, deadline)
        finally:
            self._places.release()

    async def _ask_in_turn(self, question: DnsQuestion, deadline: float) -> dns.Message:
        candidates = list(self._servers())
        if self._good in candidates:
            candidates.remove(self._good)
            candidates.insert(0, self._good)
        wait, problem = self._timeout / _ROUNDS, "no answer in time"
        while candidates and wait < 2 * self._timeout:  # ends even if the clock is set back
            for server in candidates.copy():
                left = deadline - self._reactor.seconds()
                if left <= 0:
                    raise Unresolvable(f"{question}: {problem}", temporary=True)
                try:
                    response = await exchange(self._reactor, server, question, min(wait, left))
                except NoResponse as failed:
                    candidates.remove(server)
                    problem = str(failed)
                    self._log.debug("{server}: {problem}", server=server, problem=problem)
                    continue
                except (WaitedTooLong, ConnectTimeout):
                    problem = "no answer in time"
                    continue
                code = response_code(response)
                if code in (dns.OK, dns.ENAME):
                    self._good = server
                    return response
                candidates.remove(server)
                problem = _CODES.get(code, f"RCODE {code}")
            wait *= 2
        raise Unresolvable(f"{question}: {problem}", temporary=True)


_CODES = {
    dns.EFORMAT: "the name server does not understand the question (FORMERR)",
    dns.ESERVER: "the name server could not find out (SERVFAIL)",
    dns.ENOTIMP: "the name server does not do this (NOTIMP)",
    dns.EREFUSED: "the name server refuses (REFUSED)",
}

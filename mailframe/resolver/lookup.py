"""The Resolver: all look-ups in DNS that the host and its plugins make."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.names import dns
from twisted.python.failure import Failure
from zope.interface import implementer

from ..interfaces.resolver import IResolver
from ..names.ip import parse_ip
from ..names.records import Answer, MxRecord, TlsaRecord, Unresolvable
from ..setting import SettingError
from ..settings import DnsSettings
from .cache import FAILURE, Cache, Found
from .local import Hosts, system_servers
from .response import MAX_ALIASES, Reading, read
from .servers import Server, Servers, parse_server
from .wire import TLSA, DnsQuestion, wire_name


class Asked(Protocol):
    """Answers questions; raises Unresolvable(temporary=True)."""

    async def ask(self, question: DnsQuestion) -> dns.Message:
        """A response with NOERROR or NXDOMAIN."""


@implementer(IResolver)
class Resolver:
    """Asks name servers and remembers their answers.

    `servers` are (IP address, port), by default those of /etc/resolv.conf. `timeout` is in seconds,
    for one question with all its retries. `cache_size` is how many answers are kept. `now` gives
    seconds for the cache. `hosts` is the hosts file, or None.

    All methods return the Answer itself if it is known, else a Deferred of it. They raise, or fail
    with, Unresolvable if the name does not exist or no server answers. For a name without records
    of that type the Answer has no records. Names may be Unicode.
    """

    def __init__(
        self,
        reactor: Any,
        servers: Sequence[Server] = (),
        timeout: float = 15.0,
        cache_size: int = 10000,
        now: Callable[[], float] = time.monotonic,
        hosts: Path | None = Path("/etc/hosts"),
    ) -> None:
        given = tuple(servers)
        self._servers: Asked = Servers(
            reactor, (lambda: given) if given else system_servers(now=now), timeout
        )
        self._cache = Cache(cache_size, now)
        self._hosts = Hosts(hosts, now)
        self._asked: dict[DnsQuestion, list[Deferred[Answer[Any]]]] = {}

    @classmethod
    def from_settings(cls, reactor: Any, settings: DnsSettings) -> Resolver:
        """Make it from `[dns]`. Raises SettingError for a server that is no address and port."""
        try:
            servers = [parse_server(text) for text in settings.servers]
        except ValueError as wrong:
            raise SettingError("servers", str(wrong)) from wrong
        return cls(reactor, servers, float(settings.timeout), settings.cache_size)

    def mx(self, domain: str) -> Answer[MxRecord] | Deferred[Answer[MxRecord]]:
        """The domain's exchanges in no particular order; the null MX is a record with host ""."""
        return self._ask(domain, dns.MX)

    def txt(self, name: str) -> Answer[bytes] | Deferred[Answer[bytes]]:
        """The texts; the strings of each are joined (RFC 7208 section 3.3)."""
        return self._ask(name, dns.TXT)

    def tlsa(self, name: str) -> Answer[TlsaRecord] | Deferred[Answer[TlsaRecord]]:
        """The TLSA records of a name such as "_25._tcp.mx.example.org" (RFC 7672)."""
        return self._ask(name, TLSA)

    def ptr(self, address: str) -> Answer[str] | Deferred[Answer[str]]:
        """The names that the reverse zone gives this IP address."""
        try:
            ip = parse_ip(address)
        except ValueError as wrong:
            raise Unresolvable(f"{address!r} is not an IP address", temporary=False) from wrong
        return self._ask(ip.reverse_pointer, dns.PTR)

    def addresses(self, host: str) -> Answer[str] | Deferred[Answer[str]]:
        """The host's addresses as text, IPv6 first, then IPv4.

        An IP address is its own answer. For localhost and names in the hosts file DNS is not asked.
        If one kind of address cannot be looked up now, the answer has the other kind, if there are
        any.
        """
        try:
            return Answer((str(ipaddress.ip_address(host)),))
        except ValueError:
            name = wire_name(host)
        if local := self._hosts.addresses(name):
            return Answer(local)
        both = self._found(DnsQuestion(name, dns.AAAA)), self._found(DnsQuestion(name, dns.A))
        if not isinstance(both[0], Deferred) and not isinstance(both[1], Deferred):
            return _together(both[0], both[1])
        return Deferred.fromCoroutine(_when_both(_settled(both[0]), _settled(both[1])))

    def _ask(self, name: str, type: int) -> Answer[Any] | Deferred[Answer[Any]]:
        found = self._found(DnsQuestion(wire_name(name), type))
        if isinstance(found, Unresolvable):
            raise _again(found)
        return found

    def _found(self, question: DnsQuestion) -> Found | Deferred[Answer[Any]]:
        """The answer in the cache, else a Deferred; equal questions under way share one query."""
        found = self._cache.get(question)
        if found is not None:
            return found
        waiting: Deferred[Answer[Any]] = Deferred()
        if question in self._asked:
            self._asked[question].append(waiting)
            return waiting
        self._asked[question] = [waiting]
        Deferred.fromCoroutine(self._find_out(question)).addBoth(self._tell, question)
        return waiting

    def _tell(self, result: Answer[Any] | Failure, question: DnsQuestion) -> None:
        for waiting in self._asked.pop(question):
            if isinstance(result, Failure) and isinstance(result.value, Unresolvable):
                waiting.errback(_again(result.value))
            else:
                waiting.callback(result)

    async def _find_out(self, question: DnsQuestion) -> Answer[Any]:
        try:
            answer, ttl, octets = await self._follow(question)
        except Unresolvable as failed:
            self._cache.put(question, _again(failed), _seconds(failed))
            raise
        self._cache.put(question, answer, ttl, octets)
        return answer

    async def _follow(self, question: DnsQuestion) -> tuple[Answer[Any], int, int]:
        """The answer at the end of the aliases, how many seconds to keep it, and its octets."""
        asked, authenticated, ttl, links = question, True, 2**31, 0
        while links <= MAX_ALIASES:
            response = await self._servers.ask(asked)
            reading = read(asked, response)
            authenticated = authenticated and bool(response.authenticData)
            ttl, links = min(ttl, reading.ttl), links + reading.links
            if not reading.exists:
                raise _NoSuchName(f"{question}: no such name (NXDOMAIN)", ttl)
            if reading.alias is None:
                return Answer(reading.records, authenticated, ttl), ttl, _octets(reading)
            asked = DnsQuestion(wire_name(reading.alias), question.type)
        raise Unresolvable(f"{question}: too many aliases", temporary=True)


class _NoSuchName(Unresolvable):
    """NXDOMAIN, and for how many seconds it is valid."""

    def __init__(self, message: str, ttl: int) -> None:
        super().__init__(message, temporary=False)
        self.ttl = ttl


def _seconds(failed: Unresolvable) -> int:
    return failed.ttl if isinstance(failed, _NoSuchName) else FAILURE


def _again(failed: Unresolvable) -> Unresolvable:
    """A copy of the exception: one that is raised repeatedly would collect tracebacks."""
    return Unresolvable(str(failed), failed.temporary)


def _octets(reading: Reading) -> int:
    return sum(len(str(record)) for record in reading.records)


def _settled(found: Found | Deferred[Answer[Any]]) -> Found | Deferred[Found]:
    """Turns a failure into a value, so that none is lost while the other kind is waited for."""
    if not isinstance(found, Deferred):
        return found
    return found.addErrback(_value)


def _value(failure: Failure) -> Unresolvable:
    if not isinstance(failure.value, Unresolvable):
        failure.raiseException()
    return failure.value


async def _when_both(ipv6: Found | Deferred[Found], ipv4: Found | Deferred[Found]) -> Answer[str]:
    return _together(
        await ipv6 if isinstance(ipv6, Deferred) else ipv6,
        await ipv4 if isinstance(ipv4, Deferred) else ipv4,
    )


def _together(ipv6: Found, ipv4: Found) -> Answer[str]:
    """Both kinds as one answer.

    A failure of one kind matters only if the other has no addresses.
    """
    failed = [found for found in (ipv6, ipv4) if isinstance(found, Unresolvable)]
    answers = [found for found in (ipv6, ipv4) if isinstance(found, Answer)]
    records = tuple(record for answer in answers for record in answer.records)
    if failed and not records:
        raise _again(next((one for one in failed if one.temporary), failed[0]))
    return Answer(
        records, all(answer.authenticated for answer in answers), min(a.ttl for a in answers)
    )

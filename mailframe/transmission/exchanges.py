"""Finds the hosts that take a next hop's mail, in order (RFC 5321 section 5.1)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from random import Random

from ..eventual import settled
from ..interfaces import IResolver
from ..message import CertificateJudge, NextHop, TlsUse
from ..names.domains import to_ascii
from ..names.records import MxRecord, Unresolvable
from ..smtp.address import AddressError, literal_address
from ..smtp.reply import Reply
from ..wire.routable import is_public

NO_MAIL = Reply(556, "The domain accepts no mail (RFC 7505)", "5.1.10")
UNROUTABLE = Reply(550, "Unroutable address", "5.4.4")
OURSELVES = Reply(554, "The best exchange of the domain is this host: mail loops back", "5.4.6")


class Nowhere(Exception):
    """There is no host to dial. `reply` says why, and if that is permanent."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Target:
    """One address to dial, with all settings that a connection must share to be reused for it.

    `host` is the name that the certificate must have. `address` is an IP address or, with port 0,
    the path of a unix socket. `private` means that the route says the network is trusted.
    `certificates` judges the certificates that are shown; `policy` names what demanded this.
    """

    host: str
    address: str
    port: int
    tls: TlsUse = "never"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    private: bool = False
    certificates: CertificateJudge | None = None
    policy: str = field(default="", compare=False)

    @property
    def remote(self) -> str:
        """Its name in outcomes: the host, "" for a unix socket, which is on this machine."""
        return self.host if self.port else ""

    def __str__(self) -> str:
        return self.host if self.host == self.address else f"{self.host}[{self.address}]"


class Exchanges:
    """Finds a next hop's hosts and their addresses.

    `hostname` is ours. An exchange of that name is not used, nor are those that are no better.
    `private` allows addresses that are not public, for all next hops. `is_own` returns True if one
    of our listeners has this address and port; an exchange with such an address is this host too. A
    host that a route names may be this host: then its mail goes to a listener with another purpose.
    """

    def __init__(
        self,
        names: IResolver,
        hostname: str,
        random: Random,
        *,
        port: int = 25,
        private: bool = False,
        is_own: Callable[[str, int], bool] = lambda address, port: False,
    ) -> None:
        self._names = names
        self._hostname = to_ascii(hostname)
        self._random = random
        self._port = port
        self._private = private
        self._is_own = is_own

    def domain(self, hop: NextHop) -> str:
        """The next hop's name as in DNS, in lower case; an address literal unchanged."""
        return _spelling(hop.host)

    async def hosts(self, hop: NextHop) -> list[str]:
        """The hosts to try, best first. Raises Nowhere."""
        if hop.lookup == "unix":
            return [hop.host]
        try:
            name = to_ascii(hop.host)
        except ValueError as wrong:
            raise Nowhere(Reply(550, "The domain is no domain name", "5.1.2")) from wrong
        if hop.lookup == "host" or name.startswith("["):
            return [name]
        try:
            answer = await settled(self._names.mx(name))
        except Unresolvable as failed:
            raise Nowhere(_unresolved(name, failed)) from failed
        # RFC 5321 section 5.1: without any MX, the domain itself, as if with preference 0.
        records = answer.records or (MxRecord(0, name),)
        hosts = [record for record in records if record.host not in ("", ".")]
        if not hosts:
            raise Nowhere(NO_MAIL)
        return self._ordered(hosts)

    async def targets(self, host: str, hop: NextHop) -> list[Target]:
        """The host's addresses, alternating between IPv6 and IPv4. Raises Nowhere."""
        if hop.lookup == "unix":
            return [self._target(host, host, 0, hop)]
        port = self._port if hop.port is None else hop.port
        addresses = await self._addresses(host)
        if not (self._private or hop.private):
            addresses = [address for address in addresses if is_public(address)]
            if not addresses:
                raise Nowhere(UNROUTABLE)
        if not hop.by_operator and any(self._is_own(address, port) for address in addresses):
            raise Nowhere(OURSELVES)
        return [self._target(host, address, port, hop) for address in self._in_turns(addresses)]

    def _ordered(self, records: Sequence[MxRecord]) -> list[str]:
        """By preference, equal ones at random, without those that lead back to us."""
        named = [(record.preference, _spelling(record.host)) for record in records]
        ours = [preference for preference, host in named if host == self._hostname]
        if ours:
            named = [each for each in named if each[0] < min(ours)]
            if not named:
                raise Nowhere(OURSELVES)
        self._random.shuffle(named)
        named.sort(key=lambda each: each[0])
        return list(dict.fromkeys(host for _, host in named))

    async def _addresses(self, host: str) -> list[str]:
        if host.startswith("["):
            try:
                return [str(literal_address(host))]
            except AddressError as wrong:
                raise Nowhere(Reply(550, f"Bad address literal: {wrong}", "5.1.2")) from wrong
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            pass  # so it is a name
        try:
            answer = await settled(self._names.addresses(host))
        except Unresolvable as failed:
            raise Nowhere(_unresolved(host, failed)) from failed
        if not answer.records:
            raise Nowhere(Reply(550, f"{host} has no address", "5.4.4"))
        return list(answer.records)

    def _in_turns(self, addresses: Sequence[str]) -> list[str]:
        """Alternate the families, so that an unreachable one does not use up the attempt."""
        mixed = list(addresses)
        self._random.shuffle(mixed)
        ipv6 = [address for address in mixed if ":" in address]
        ipv4 = [address for address in mixed if ":" not in address]
        return [each for each in chain(*zip_longest(ipv6, ipv4)) if each is not None]

    def _target(self, host: str, address: str, port: int, hop: NextHop) -> Target:
        bare = address if host.startswith("[") else host
        return Target(bare, address, port, hop.tls, hop.user, hop.password, hop.private)


def _spelling(host: str) -> str:
    """The name in the form for comparison. Anything else is unchanged, and will have no address."""
    try:
        return to_ascii(host)
    except ValueError:
        return host


def _unresolved(name: str, failed: Unresolvable) -> Reply:
    if failed.temporary:
        return Reply(451, f"No answer from DNS for {name}, try again later", "4.4.3")
    return Reply(550, f"No such domain: {name}", "5.1.2")

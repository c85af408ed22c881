"""Knows which addresses are this host's own: mail sent there would come back to it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from functools import lru_cache

from ..names.ip import parse_ip

_KNOWN_FOR = 60.0  # seconds
_ANY = {"0.0.0.0": (4,), "::": (4, 6), "": (4,)}  # with the IP versions that they accept


class OwnAddresses:
    """Tells whether an address and port belong to one of our SMTP listeners.

    `ports` gives the address and port of each listener that is bound now, by name; `now` gives
    seconds of any clock.
    """

    def __init__(
        self, ports: Callable[[], Mapping[str, tuple[str, int]]], now: Callable[[], float]
    ) -> None:
        self._ports = ports
        self._now = now
        self._is_here = lru_cache(1024)(self._look)

    def has(self, address: str, port: int) -> bool:
        """True if mail that is sent to this IP address and port comes to this host."""
        for host, bound in self._ports().values():
            if bound != port:
                continue
            versions = _ANY.get(host)
            if versions is None and _is_same(host, address):
                return True
            if versions and self._is_here(address, versions, self._now() // _KNOWN_FOR):
                return True
        return False

    @staticmethod
    def _look(address: str, versions: tuple[int, ...], period: float) -> bool:
        """True if an interface of this machine has the address. Sends nothing.

        A route from this machine to itself has its own address as the source. Binding to the
        address would not tell, because some hosts allow that for any address
        (net.ipv4.ip_nonlocal_bind).
        """
        ip = parse_ip(address)
        if ip.version not in versions:
            return False
        if ip.is_loopback:
            return True
        family = socket.AF_INET6 if ip.version == 6 else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((address if ip.version == 6 else str(ip), 25))
                return _is_same(str(probe.getsockname()[0]), address)
        except OSError:
            return False


def _is_same(one: str, other: str) -> bool:
    return parse_ip(one) == parse_ip(other)

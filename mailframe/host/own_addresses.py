"""Which addresses are this host's own: mail that its exchanges lead there would come back."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from functools import lru_cache

from ..names.ip import parse_ip

_KNOWN_FOR = 60.0  # seconds
_ANY = {"0.0.0.0": (4,), "::": (4, 6), "": (4,)}  # and the versions of IP that come there


class OwnAddresses:
    """Whether one of our SMTP listeners has an address and port.

    `ports` gives the address and port of each that is bound now, by its name; `now` is
    seconds, of any clock.
    """

    def __init__(
        self, ports: Callable[[], Mapping[str, tuple[str, int]]], now: Callable[[], float]
    ) -> None:
        self._ports = ports
        self._now = now
        self._is_here = lru_cache(1024)(self._look)

    def has(self, address: str, port: int) -> bool:
        """Whether mail that is sent to this IP address and port comes to us."""
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
        """Whether an interface of this machine has the address. Sends nothing.

        The way from here to here begins where it ends. Binding would not tell: some hosts allow
        that for any address (net.ipv4.ip_nonlocal_bind).
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

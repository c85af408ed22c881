"""Which addresses a stranger's DNS may make us dial."""

from __future__ import annotations

import ipaddress

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052 section 2.1

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public(text: str) -> bool:
    """True for a unicast address of the public Internet, given as text.

    Loopback, private (RFC 1918), shared (RFC 6598), link-local, site-local, unique local,
    multicast, unspecified, reserved, Teredo and documentation addresses are not, nor are
    IPv6 addresses that carry one of these (mapped, 6to4, NAT64), nor what is no address.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    carried = _carried(address)
    if carried is not None:
        return _is_unicast(carried)
    return _is_unicast(address)


def _is_unicast(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address.is_site_local:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _carried(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address leads to, if it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour

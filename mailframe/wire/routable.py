"""Which addresses a stranger's DNS may make this host dial."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network

from ..names.ip import IpAddress, ip_or_none

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052 section 2.1


def is_public(text: str) -> bool:
    """True for a unicast address of the public Internet, given as text.

    False for loopback, private (RFC 1918), shared (RFC 6598), link-local, site-local, unique local,
    multicast, unspecified, reserved, Teredo and documentation addresses, for IPv6 addresses that
    carry one of these (mapped, 6to4, NAT64), and for a text that is no address.
    """
    address = ip_or_none(text)
    return address is not None and _is_unicast(_carried(address) or address)


def _is_unicast(address: IpAddress) -> bool:
    if isinstance(address, IPv6Address) and address.is_site_local:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _carried(address: IpAddress) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address leads to, if there is one."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour

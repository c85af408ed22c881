"""IP addresses and networks, each in one spelling.

An IPv4 client of an IPv6 socket (::ffff:192.0.2.1) is an IPv4 client. The zone of a link-local
address (fe80::1%eth0) does not help to identify the client.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

CUSTOMER = 64  # bits of an IPv6 address; a customer usually has a whole network of this size
_MAPPED = IPv6Network("::ffff:0:0/96")  # RFC 4291 section 2.5.5.2


def parse_ip(text: str) -> IpAddress:
    """The address without a zone; an IPv4-mapped one as IPv4. ValueError for any other text."""
    if ":" not in text:
        return IPv4Address(text)
    return unmapped(IPv6Address(text.partition("%")[0]))


def ip_or_none(text: str) -> IpAddress | None:
    """As `parse_ip`, but None for a text that is no address, such as "unix" or a name."""
    try:
        return parse_ip(text)
    except ValueError:
        return None


def unmapped(address: IpAddress) -> IpAddress:
    """The IPv4 address of an IPv4-mapped one; any other address as it is."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def customer_of(address: IpAddress) -> str:
    """The text that identifies a client: an IPv4 address, or the /64 network of an IPv6 address."""
    if isinstance(address, IPv4Address):
        return str(address)
    host_bits = 128 - CUSTOMER
    return f"{IPv6Address(int(address) >> host_bits << host_bits)}/{CUSTOMER}"


def parse_network(text: str) -> IpNetwork:
    """An address or a network in CIDR notation; an IPv4-mapped one as IPv4.

    ValueError, with the text and advice, for any other text, and for bits beyond the mask.
    """
    try:
        network = ip_network(text)
    except ValueError as wrong:
        raise ValueError(f"{text!r}: {_advice(text, wrong)}") from wrong
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        return IPv4Network((unmapped(network.network_address), network.prefixlen - 96))
    return network


def _advice(text: str, wrong: ValueError) -> str:
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        return f"not an address or network in CIDR notation ({wrong})"
    return f"has bits beyond its mask; {str(meant)!r} is the network"


class NetworkSet:
    """A set of clients by their addresses: IP addresses, networks, and "unix" for unix sockets.

    ValueError, with the text, for anything else.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        texts = tuple(texts)
        self._unix = "unix" in texts
        self._networks = tuple(parse_network(text) for text in texts if text != "unix")

    def __bool__(self) -> bool:
        return self._unix or bool(self._networks)

    def __contains__(self, address: str) -> bool:
        if address == "unix":
            return self._unix
        ip = ip_or_none(address) if self._networks else None
        return ip is not None and any(ip in network for network in self._networks)

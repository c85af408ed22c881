"""[[relay]] plugin = "networks", networks = ["192.0.2.0/24", "2001:db8::/32"]

Clients at these addresses may send to anybody. None is trusted that is not named here, this
machine included. "unix" stands for clients of a unix socket.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from zope.interface import implementer

from mailframe.interfaces import IRelayPolicy
from mailframe.message import Envelope, Recipient
from mailframe.plugin import Plugin, SettingError, Site, setting
from mailframe.smtp.reply import RECIPIENT_OK, Reply

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


@dataclass(frozen=True)
class Settings:
    """What can be set."""

    networks: tuple[str, ...] = setting(
        'clients that may relay: addresses, networks in CIDR notation, "unix"', ()
    )


@implementer(IRelayPolicy)
class Networks:
    """Opens for clients by their address."""

    def __init__(self, settings: Settings, site: Site) -> None:
        self._unix = "unix" in settings.networks
        self._networks = tuple(_network(text) for text in settings.networks if text != "unix")

    def judge(self, envelope: Envelope, recipient: Recipient) -> Reply | None:
        """Yes where the client's address lies in one of the networks."""
        if envelope.client.address == "unix":
            return RECIPIENT_OK if self._unix else None
        if not self._networks:
            return None
        address = _address(envelope.client.address)
        if address is not None and any(address in network for network in self._networks):
            return RECIPIENT_OK
        return None


def _address(text: str) -> Address | None:
    """The client's address; an IPv4 client of an IPv6 socket is an IPv4 client."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _network(text: str) -> Network:
    """The network that the operator wrote; SettingError for what is none, or everybody."""
    try:
        network: Network = ipaddress.ip_network(text)
    except ValueError as wrong:
        raise SettingError("networks", f"{text!r}: {_advice(text, wrong)}") from wrong
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        mapped = network.network_address.ipv4_mapped
        network = ipaddress.ip_network(f"{mapped}/{network.prefixlen - 96}")
    if network.prefixlen == 0:
        raise SettingError("networks", f"{text!r} is everybody: that would be an open relay")
    return network


def _advice(text: str, wrong: ValueError) -> str:
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return f"not an address or network in CIDR notation ({wrong})"
    return f"has bits beyond its mask; {str(meant)!r} is the network"


plugin = Plugin("networks", IRelayPolicy, Settings, Networks)

"""[[relay]] plugin = "networks", networks = ["192.0.2.0/24", "2001:db8::/32"]

Clients with these addresses may send to anybody. No other client is trusted, not even on this
machine. "unix" stands for clients of a unix socket.
"""

from __future__ import annotations

from dataclasses import dataclass

from zope.interface import implementer

from mailframe.interfaces import IRelayPolicy
from mailframe.message import Envelope, Recipient
from mailframe.names.ip import NetworkSet, parse_network
from mailframe.plugin import Plugin, SettingError, Site, setting
from mailframe.smtp.reply import RECIPIENT_OK, Reply


@dataclass(frozen=True)
class Settings:
    """The settings."""

    networks: tuple[str, ...] = setting(
        'clients that may relay: addresses, networks in CIDR notation, or "unix"', ()
    )


@implementer(IRelayPolicy)
class Networks:
    """Permits relaying by the client's address."""

    def __init__(self, settings: Settings, site: Site) -> None:
        self._networks = _networks(settings.networks)

    def judge(self, envelope: Envelope, recipient: Recipient) -> Reply | None:
        """Permit it if the client's address is in one of the networks."""
        return RECIPIENT_OK if envelope.client.address in self._networks else None


def _networks(texts: tuple[str, ...]) -> NetworkSet:
    """The networks in the setting.

    SettingError for a text that is none, or that means everybody.
    """
    try:
        networks = NetworkSet(texts)
        everybody = [text for text in texts if text != "unix" and not parse_network(text).prefixlen]
    except ValueError as wrong:
        raise SettingError("networks", str(wrong)) from wrong
    if everybody:
        raise SettingError(
            "networks", f"{everybody[0]!r} is everybody: that would be an open relay"
        )
    return networks


plugin = Plugin("networks", IRelayPolicy, Settings, Networks)

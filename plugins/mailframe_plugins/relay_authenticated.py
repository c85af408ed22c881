"""[[relay]] plugin = "authenticated"

Clients that have logged in may send to anybody. It has no settings.
"""

from __future__ import annotations

from zope.interface import implementer

from mailframe.interfaces import IRelayPolicy
from mailframe.message import Envelope, Recipient
from mailframe.plugin import NoSettings, Plugin, Site
from mailframe.smtp.reply import RECIPIENT_OK, Reply


@implementer(IRelayPolicy)
class Authenticated:
    """Permits relaying for users who have logged in."""

    def __init__(self, settings: NoSettings, site: Site) -> None:
        pass

    def judge(self, envelope: Envelope, recipient: Recipient) -> Reply | None:
        """RECIPIENT_OK if an auth plugin has accepted the client, else no opinion."""
        return RECIPIENT_OK if envelope.client.user else None


plugin = Plugin("authenticated", IRelayPolicy, NoSettings, Authenticated)

"""[[relay]] plugin = "authenticated"

Who has logged in may send to anybody. Nothing to set.
"""

from __future__ import annotations

from zope.interface import implementer

from mailframe.interfaces import IRelayPolicy
from mailframe.message import Envelope, Recipient
from mailframe.plugin import NoSettings, Plugin, Site
from mailframe.smtp.reply import RECIPIENT_OK, Reply


@implementer(IRelayPolicy)
class Authenticated:
    """Opens for users."""

    def __init__(self, settings: NoSettings, site: Site) -> None:
        pass

    def judge(self, envelope: Envelope, recipient: Recipient) -> Reply | None:
        """Yes where an auth plugin has given the client a name."""
        return RECIPIENT_OK if envelope.client.user else None


plugin = Plugin("authenticated", IRelayPolicy, NoSettings, Authenticated)

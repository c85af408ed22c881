"""`[[relay]]`: who may send to whom through us."""

from __future__ import annotations

from collections.abc import Iterable

from zope.interface import Interface

from ..eventual import Eventual
from ..message import Envelope, Recipient
from ..smtp.reply import Reply


class IRelayPolicy(Interface):
    """`[[relay]]`: may this client send to this recipient through us?

    Asked once for each RCPT, in the order of the configuration. The first opinion decides. If no
    policy has an opinion, the answer is 550 5.7.1: relaying is denied unless a plugin permits it,
    and no other hook can permit it.
    """

    def judge(envelope: Envelope, recipient: Recipient) -> Eventual[Reply | None]:
        """A positive Reply (`RECIPIENT_OK`) permits, a negative one refuses, None asks the next.

        `envelope.recipients` has the recipients accepted before this one. Anything but a Reply or
        None is a fault, and a fault never permits relaying.
        """


class ILocalDomains(IRelayPolicy):
    """A relay policy that permits everybody to send to the domains of this host."""

    def domains() -> Iterable[str]:
        """The domains that are named; not those that only match a pattern."""

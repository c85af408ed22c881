"""`[[route]]`: where a recipient's copy goes."""

from __future__ import annotations

from collections.abc import Iterable

from zope.interface import Interface

from ..eventual import Eventual
from ..message import Envelope, Recipient, Redirect, Route
from ..smtp.address import Mailbox
from ..smtp.reply import Reply


class IRouter(Interface):
    """`[[route]]`: where does mail for this recipient go?

    Asked at RCPT, so that an unknown mailbox is refused in the dialogue, and again at every
    delivery attempt. The first opinion decides. If no router has an opinion, the answer is 550
    5.1.2. At RCPT the addresses of a Redirect are asked about only until one of them has a Route.
    The others are asked about when the message is in the queue.
    """

    def route(
        envelope: Envelope, recipient: Recipient
    ) -> Eventual[Route | Redirect | Reply | None]:
        """A Route says where it goes, a Redirect replaces it by others, a negative Reply refuses.

        Must be free of side effects, because it may be asked any number of times.
        """


class IListedMailboxes(IRouter):
    """A router that can list the mailboxes it routes to, for checks of the configuration."""

    def mailboxes() -> Iterable[Mailbox]:
        """The mailboxes that are named; not those in domains that only match a pattern."""

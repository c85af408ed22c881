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

    Asked at RCPT, so that an unknown mailbox is refused in the dialogue, and anew at every
    delivery attempt. The first opinion decides. When nobody speaks: 550 5.1.2. At RCPT what a
    Redirect names is asked about until one of them has a Route; the rest is asked about when the
    message is in the queue.
    """

    def route(
        envelope: Envelope, recipient: Recipient
    ) -> Eventual[Route | Redirect | Reply | None]:
        """A Route takes it, a Redirect names others to ask about, a negative Reply refuses.

        Must be free of side effects: it is asked as often as somebody wants to know.
        """


class IListedMailboxes(IRouter):
    """A router that can say which mailboxes it routes to, for whoever checks a configuration."""

    def mailboxes() -> Iterable[Mailbox]:
        """Those that can be named; not those of domains that a pattern stands for."""

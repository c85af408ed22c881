"""`[deliver.NAME]`: who brings mail there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zope.interface import Attribute, Interface

from ..eventual import Eventual
from ..message import Message, Outcome, Route


class IDeliveryAgent(Interface):
    """`[deliver.NAME]`: brings one message to recipients that share a destination."""

    def deliver(message: Message, routes: Sequence[Route]) -> Eventual[Iterable[Outcome]]:
        """One Outcome per route, told apart by `route.recipient`.

        DELIVERED, RELAYED and PASSED_ON mean that the message outlives a power cut in the
        recipient's mailbox or at the next host; it is forgotten here then. A missing Outcome,
        an exception and a timeout count as DEFERRED. Every `route.recipient` is set.
        """


class IBatchingAgent(IDeliveryAgent):
    """An agent that does together what it is given at the same time, so it wants many calls."""

    at_once = Attribute(
        "how many calls of `deliver` it takes at a time for each destination, in place of"
        " `retry.per_destination`"
    )


class IPausingAgent(IDeliveryAgent):
    """An agent that leaves alone for a while what it could not reach."""

    def forget_pauses() -> None:
        """Try everything again at the next `deliver`: somebody asks for it. Returns at once."""

"""`[deliver.NAME]`: who brings mail there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zope.interface import Attribute, Interface

from ..eventual import Eventual
from ..message import Envelope, Message, Outcome, Route
from ..smtp.reply import Reply


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


class IForeseeingAgent(IDeliveryAgent):
    """An agent that knows before a message comes that it will not take it."""

    def refusal(envelope: Envelope, route: Route) -> Eventual[Reply | None]:
        """Why mail for this route would not be taken now, None if nothing is known against it.

        Asked at RCPT, once a route for the recipient itself is found, so that the client is told
        instead of the sender, whose address may be forged, by a report. `envelope.size` is what
        the client declared. The answer must cost little; a fault counts as None.
        """

"""`[deliver.NAME]`: agents that deliver mail to a kind of destination."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zope.interface import Attribute, Interface

from ..eventual import Eventual
from ..message import Envelope, Message, Outcome, Route
from ..smtp.reply import Reply


class IDeliveryAgent(Interface):
    """`[deliver.NAME]`: delivers one message to recipients that share a destination."""

    def deliver(message: Message, routes: Sequence[Route]) -> Eventual[Iterable[Outcome]]:
        """One Outcome for each route, identified by `route.recipient`, which is always set.

        DELIVERED, RELAYED and PASSED_ON mean that the message is durable (survives a power cut)
        in the recipient's mailbox or at the next host; the queue then forgets it. A missing
        Outcome, an exception and a timeout count as DEFERRED.
        """


class IBatchingAgent(IDeliveryAgent):
    """An agent that groups the calls it gets at the same time, and so wants many of them."""

    at_once = Attribute(
        "how many calls of `deliver` it takes at a time for each destination, in place of"
        " `retry.per_destination`"
    )


class IPausingAgent(IDeliveryAgent):
    """An agent that does not try an unreachable destination again for a while."""

    def forget_pauses() -> None:
        """End all pauses, because an operator asks for a new attempt. Must return at once."""


class IForeseeingAgent(IDeliveryAgent):
    """An agent that can know before a message comes that it will not take it."""

    def refusal(envelope: Envelope, route: Route) -> Eventual[Reply | None]:
        """Why mail for this route would be refused now, None if nothing is known against it.

        Asked at RCPT once a route for the recipient itself is found, so that the client is refused.
        Otherwise a bounce would go to the sender, whose address may be forged. `envelope.size` is
        what the client declared. The answer must be cheap. A fault counts as None.
        """

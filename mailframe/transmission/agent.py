"""The common part of the delivery agents for SMTP and LMTP: grouping, starting, stopping."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from ..interfaces import IInspected, IPausingAgent
from ..message import Message, NextHop, Outcome, Recipient, Route, Status
from ..smtp.address import Mailbox
from ..smtp.reply import NO_DELIVERY
from .courier import Courier
from .pool import Pool

_GRACE = 10.0  # seconds in which busy connections may finish when the host stops


@implementer(IInspected, IPausingAgent)
class Agent(Service):
    """Hands messages to a courier, with the routes of one next hop and sender together.

    `hop_of` gives a route's next hop, None if the route has none for this agent. `domain` is for
    servers that do not know the Postmaster without a domain (RFC 5321 section 4.1.1.3): they are
    given the mailbox that the route names or, if it names none, postmaster of this domain.
    """

    def __init__(
        self,
        courier: Courier,
        pool: Pool,
        reactor: IReactorTime,
        hop_of: Callable[[Route], NextHop | None],
        domain: str | None = None,
    ) -> None:
        self._courier = courier
        self._pool = pool
        self._reactor = reactor
        self._hop_of = hop_of
        self._domain = domain

    def state(self) -> Iterable[Mapping[str, object]]:
        """For IInspected: the connections of its pool."""
        return self._pool.state()

    def forget_pauses(self) -> None:
        """See IPausingAgent."""
        self._pool.forget_pauses()

    async def deliver(self, message: Message, routes: Sequence[Route]) -> list[Outcome]:
        """One Outcome for each route (IDeliveryAgent)."""
        outcomes: list[Outcome] = []
        groups: dict[tuple[NextHop, Mailbox | None], list[Recipient]] = {}
        spelled: dict[Recipient, Mailbox] = {}
        for route in routes:
            recipient, hop = route.recipient, self._hop_of(route)
            if recipient is None:
                raise ValueError("a route without its recipient cannot be delivered")
            if hop is None:
                outcomes.append(Outcome(recipient, Status.DEFERRED, NO_DELIVERY))
            else:
                # A list's owner is the reverse-path of the list's copies, but never of a bounce.
                sender = recipient.sender if message.envelope.sender else None
                group = (hop, sender or message.envelope.sender)
                groups.setdefault(group, []).append(recipient)
                if self._domain is not None and not recipient.address.domain:
                    postmaster = Mailbox(recipient.address.local, self._domain)
                    spelled[recipient] = route.mailbox or postmaster
        for (hop, sender), recipients in groups.items():
            outcomes += await self._courier.deliver(message, hop, recipients, sender, spelled)
        return outcomes

    def stopService(self) -> Deferred[None]:
        """Close idle connections; busy ones have a few seconds to finish."""
        super().stopService()  # type: ignore[no-untyped-call]
        impatient: Any = self._reactor.callLater(_GRACE, self._pool.abort)
        closed = self._pool.close()
        return closed.addCallback(lambda _: impatient.cancel() if impatient.active() else None)

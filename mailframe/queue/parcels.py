"""Groups the recipients of a message by agent, next hop and sender."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..message import NextHop, Recipient, Route
from ..smtp.address import Mailbox

#: Agent and host (with its port), or agent and mailbox domain. Limits are counted by this.
Place = tuple[str, str]


@dataclass(slots=True)
class Parcel:
    """Recipients for one call of an agent.

    `shared` has for each route all recipients that stand for the same mailbox: it gets one copy,
    and its outcome counts for all of them. `remote` is False for mailboxes of this host. `aliases`
    are those that forward this parcel to other hosts, and add a Delivered-To field to it.
    """

    agent: str
    place: Place
    sender: Mailbox | None
    remote: bool
    aliases: tuple[Mailbox, ...] = ()
    routes: list[Route] = field(default_factory=list)
    shared: list[list[Recipient]] = field(default_factory=list)

    @property
    def recipients(self) -> Iterable[Recipient]:
        """All recipients."""
        return (recipient for same in self.shared for recipient in same)


def parcels_of(routes: Iterable[Route]) -> list[Parcel]:
    """The parcels of these routes, which all have a recipient."""
    parcels: dict[tuple[object, ...], Parcel] = {}
    copies: dict[tuple[str, Mailbox, str, Mailbox | None], list[Recipient]] = {}
    for route in routes:
        recipient = route.recipient
        if recipient is None:
            raise ValueError("a Route without a recipient cannot be delivered")
        copy = (route.agent, *_mailbox(route, recipient), recipient.sender)
        same = copies.get(copy)
        if same is not None:
            same.append(recipient)
            continue
        same = copies[copy] = [recipient]
        target = route.next_hop or (route.mailbox or recipient.address).domain
        aliases = recipient.came_from if route.mailbox is None else ()
        key = (route.agent, target, recipient.sender, aliases)
        parcel = parcels.get(key)
        if parcel is None:
            parcel = parcels[key] = Parcel(
                route.agent,
                (route.agent, _name(target)),
                recipient.sender,
                route.next_hop is not None,
                aliases,
            )
        parcel.routes.append(route)
        parcel.shared.append(same)
    return list(parcels.values())


def _mailbox(route: Route, recipient: Recipient) -> tuple[Mailbox, str]:
    """The key of one copy: the address for another host, mailbox and tag for an agent of ours."""
    if route.mailbox is None or route.next_hop is not None:
        return recipient.address, ""
    return route.mailbox, route.tag


def _name(target: NextHop | str) -> str:
    if isinstance(target, str):
        return target
    return target.host if target.port is None else f"{target.host}:{target.port}"

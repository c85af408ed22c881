"""Finds mailboxes that get no mail, because an earlier route takes all mail of their domain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from twisted.internet.defer import Deferred

from ..hooks import Hooks
from ..interfaces import IListedMailboxes
from ..message import Client, Envelope, Recipient
from ..settings import Listener
from ..smtp.address import Mailbox

MOST_MAILBOXES = 1000  # of one route that are asked about
NAMED = 5  # mailboxes that a warning names

_UNKNOWN = "nobody-has-this-name"


@dataclass(frozen=True, slots=True)
class Shadowed:
    """Mailboxes whose mail a catch-all takes before their own route.

    `route` is the number of that `[[route]]`.
    """

    route: int
    mailboxes: tuple[Mailbox, ...]

    def __str__(self) -> str:
        named = ", ".join(map(str, self.mailboxes[:NAMED]))
        more = len(self.mailboxes) - NAMED
        return (
            f"mail for {named}{f' and {more} more' if more > 0 else ''} never comes here: a "
            "catch-all of an earlier [[route]] takes it; give them lines of their own there, or "
            "use `catch_all` here instead"
        )


def shadowed(hooks: Hooks, listeners: Sequence[Listener]) -> Iterator[Shadowed]:
    """For each route that lists mailboxes, ask the routes before it about them and about unknown
    ones.

    A question that is not answered at once counts as no problem. Observers are not told.
    """
    for number, bound in enumerate(hooks.routes):
        if number == 0 or not IListedMailboxes.providedBy(bound.plugin):
            continue
        names = (each.name for each in listeners if bound.on is None or each.name in bound.on)
        client = Client("127.0.0.1", listener=next(names, ""))
        before = replace(hooks, routes=hooks.routes[:number], observers=())
        caught: dict[str, frozenset[Mailbox]] = {}
        lost = []
        for mailbox in islice(bound.plugin.mailboxes(), MOST_MAILBOXES):
            domain, unknown = mailbox.domain, Mailbox(_UNKNOWN, mailbox.domain)
            if domain not in caught:
                caught[domain] = _meant(before, client, unknown) - {unknown}
            everybody = frozenset(
                # A catch-all may keep the local part.
                Mailbox(mailbox.local, each.domain) if each.local == _UNKNOWN else each
                for each in caught[domain]
            )
            if not everybody or mailbox in everybody:
                continue
            if _meant(before, client, mailbox) == everybody:
                lost.append(mailbox)
        if lost:
            yield Shadowed(number, tuple(lost))


def _meant(hooks: Hooks, client: Client, mailbox: Mailbox) -> frozenset[Mailbox]:
    """The addresses that this one stands for, with or without a route; empty if unknown."""
    recipient = Recipient(mailbox)
    routing = hooks.route(Envelope("shadowed", client, None, (recipient,)), recipient)
    if isinstance(routing, Deferred):
        routing.addErrback(lambda failure: None).cancel()
        return frozenset()
    found = [route.recipient for route in routing.routes]
    found += [refused for refused, _ in routing.refusals]
    return frozenset(each.address for each in found if each is not None)

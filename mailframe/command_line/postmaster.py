"""Whether somebody reads the postmaster's mail in each domain of ours (RFC 5321 section 4.5.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from twisted.internet.defer import CancelledError, Deferred

from ..hooks import Hooks, Routing
from ..interfaces import ILocalDomains
from ..message import Client, Envelope, Recipient
from ..settings import Listener
from ..smtp.address import Mailbox
from ..smtp.reply import Reply

MOST_DOMAINS = 1000  # asked about


@dataclass(frozen=True, slots=True)
class Unread:
    """A domain whose postmaster is refused with `reply`; `relay` counts the `[[relay]]`s."""

    relay: int
    domain: str
    reply: Reply

    def __str__(self) -> str:
        return (
            f"mail for postmaster@{self.domain} is refused ({self.reply}): RFC 5321 section 4.5.1 "
            "wants somebody to read it"
        )


def ask(
    hooks: Hooks, listeners: Sequence[Listener], found: Callable[[Unread], object]
) -> list[Deferred[None]]:
    """Ask the routes for the postmaster of each domain that a relay policy calls ours.

    `found` is called for each that is refused for good: before this returns where the routes
    answer at once, else before its Deferred of those returned fires; these never fail and may
    be cancelled. Observers are not told: nobody has sent anything.
    """
    hooks = replace(hooks, observers=())
    waiting: list[Deferred[None]] = []
    for number, domain, listener in islice(ours(hooks, listeners), MOST_DOMAINS):
        recipient = Recipient(Mailbox("postmaster", domain))
        client = Client("127.0.0.1", listener=listener)
        routing = hooks.route(Envelope("postmaster", client, None, (recipient,)), recipient)
        if isinstance(routing, Deferred):
            routing.addCallback(_judge, number, domain, found)
            # The routes' own faults are refusals; what remains is that nobody waits any more.
            waiting.append(routing.addErrback(lambda failure: failure.trap(CancelledError)))
        else:
            _judge(routing, number, domain, found)
    return waiting


def ours(hooks: Hooks, listeners: Sequence[Listener]) -> Iterator[tuple[int, str, str]]:
    """Each domain with the number of its relay policy and a listener that this one is for."""
    for number, bound in enumerate(hooks.relay):
        if ILocalDomains.providedBy(bound.plugin):
            names = (each.name for each in listeners if bound.on is None or each.name in bound.on)
            listener = next(names, "")
            for domain in bound.plugin.domains():
                yield number, domain, listener


def _judge(routing: Routing, number: int, domain: str, found: Callable[[Unread], object]) -> None:
    replies = [reply for _, reply in routing.refusals]
    # What cannot be known now may be well.
    if not routing.routes and all(reply.permanent for reply in replies):
        found(Unread(number, domain, replies[0]))

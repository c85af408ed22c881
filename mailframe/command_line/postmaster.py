"""Finds domains in which nobody reads the postmaster's mail (RFC 5321 section 4.5.1)."""

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

MOST_DOMAINS = 1000  # that are asked about


@dataclass(frozen=True, slots=True)
class Unread:
    """A domain whose postmaster is refused with `reply`.

    `relay` is the number of its `[[relay]]`.
    """

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
    """Ask the routes for the postmaster of each domain that a relay policy calls local.

    `found` is called for each one that is refused permanently. If the routes answer at once, that
    happens before this returns, else before the Deferred for it fires. These Deferreds never fail
    and may be cancelled. Observers are not told, because no mail was sent.
    """
    hooks = replace(hooks, observers=())
    waiting: list[Deferred[None]] = []
    for number, domain, listener in islice(ours(hooks, listeners), MOST_DOMAINS):
        recipient = Recipient(Mailbox("postmaster", domain))
        client = Client("127.0.0.1", listener=listener)
        routing = hooks.route(Envelope("postmaster", client, None, (recipient,)), recipient)
        if isinstance(routing, Deferred):
            routing.addCallback(_judge, number, domain, found)
            # Errors of the routes are refusals; all that can remain is that it was cancelled.
            waiting.append(routing.addErrback(lambda failure: failure.trap(CancelledError)))
        else:
            _judge(routing, number, domain, found)
    return waiting


def ours(hooks: Hooks, listeners: Sequence[Listener]) -> Iterator[tuple[int, str, str]]:
    """Each domain with the number of its relay policy, and a listener that the policy is for."""
    for number, bound in enumerate(hooks.relay):
        if ILocalDomains.providedBy(bound.plugin):
            names = (each.name for each in listeners if bound.on is None or each.name in bound.on)
            listener = next(names, "")
            for domain in bound.plugin.domains():
                yield number, domain, listener


def _judge(routing: Routing, number: int, domain: str, found: Callable[[Unread], object]) -> None:
    replies = [reply for _, reply in routing.refusals]
    # A refusal that is temporary may be all right later.
    if not routing.routes and all(reply.permanent for reply in replies):
        found(Unread(number, domain, replies[0]))

"""FLOOR 4: redirects followed until every address has a route or a refusal.

Breadth first, so that the nearest way to an address is the one that is kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.defer import Deferred

from ..message import Envelope, Recipient, Redirect, Route
from ..smtp.address import Mailbox
from ..smtp.reply import NO_SUCH_DOMAIN, Reply
from .asking import Fault, Question

MAX_DEPTH = 20  # redirects one after the other
MAX_ADDRESSES = 5000  # that one recipient may stand for

LOOP = Reply(554, "Mail loop detected: this address redirects to itself", "5.4.6")
TOO_DEEP = Reply(554, f"More than {MAX_DEPTH} redirects one after the other", "5.4.6")
TOO_MANY = Reply(550, f"Stands for more than {MAX_ADDRESSES} addresses", "5.2.4")

#: Called with (envelope, recipient, answer, plugin's name, milliseconds) for every decision.
Told = Callable[[Envelope, Recipient, Route | Redirect | Reply, str, float], None]


@dataclass(frozen=True, slots=True)
class Routing:
    """What became of one recipient: where it goes, and what of it is refused; never empty.

    Every `route.recipient` is set; a refusal is a negative Reply with the recipient it is for,
    the one asked about or one that it was redirected to.
    """

    routes: tuple[Route, ...]
    refusals: tuple[tuple[Recipient, Reply], ...]


class Expansion:
    """One recipient's way through the routers, with all that it is redirected to.

    `told` hears of every decision, None where nobody listens; `seconds` is its clock.
    """

    def __init__(
        self,
        envelope: Envelope,
        routers: tuple[Question, ...],
        told: Told | None,
        seconds: Callable[[], float],
    ) -> None:
        self._envelope = envelope
        self._routers = routers
        self._told = told
        self._seconds = seconds
        self._routes: list[Route] = []
        self._refusals: list[tuple[Recipient, Reply]] = []
        self._waiting: deque[tuple[Recipient, int]] = deque()
        self._seen: dict[Mailbox, Recipient] = {}
        self._settled: set[Mailbox] = set()
        self._redirected_from: dict[Mailbox, list[Mailbox]] = {}

    async def run(self, recipient: Recipient) -> Routing:
        """Ask until every address is settled."""
        self._seen[recipient.address] = recipient
        self._waiting.append((recipient, 0))
        while self._waiting:
            asked, first = self._waiting.popleft()
            started = self._seconds() if self._told else 0.0
            answer, decided = await _first_opinion(self._envelope, asked, self._routers, first)
            plugin = self._routers[decided].bound.name if decided < len(self._routers) else ""
            if self._told:
                milliseconds = (self._seconds() - started) * 1e3
                self._told(self._envelope, asked, answer, plugin, milliseconds)
            if isinstance(answer, Redirect) and _keeps_again(asked, answer):
                # Asked anew at a later attempt: its others have had their copies since.
                self._waiting.append((asked, decided + 1))
                continue
            if isinstance(answer, Redirect):
                self._follow(asked, answer, plugin, decided + 1)
                if len(self._seen) > MAX_ADDRESSES:
                    self._refusals.clear()
                    self._refuse(recipient, TOO_MANY, plugin)
                    return Routing((), tuple(self._refusals))
                continue
            self._settled.add(asked.address)
            if isinstance(answer, Route):
                self._routes.append(replace(answer, recipient=asked))
            else:
                self._refusals.append((asked, answer))
        if self._redirected_from:
            self._refuse_rings()
        return Routing(tuple(self._routes), tuple(self._refusals))

    def _follow(self, asked: Recipient, redirect: Redirect, plugin: str, following: int) -> None:
        itself = _folded(asked.address)
        earlier = {_folded(address) for address in asked.came_from} - {itself}
        for child in _redirected(asked, redirect):
            folded = _folded(child.address)
            if folded in earlier:
                self._settled.add(asked.address)
                self._refuse(child, LOOP, plugin)
            elif len(child.came_from) > MAX_DEPTH:
                self._settled.add(asked.address)
                self._refuse(child, TOO_DEEP, plugin)
            else:
                # An alias that lists itself keeps a copy: the routers after it say where.
                first = following if folded == itself else 0
                if child.address == asked.address:
                    self._waiting.append((child, first))
                    continue
                self._redirected_from.setdefault(child.address, []).append(asked.address)
                if child.address not in self._seen:
                    self._seen[child.address] = child
                    self._waiting.append((child, first))

    def _refuse_rings(self) -> None:
        """Refuse those that stand only for each other: their mail would go nowhere unsaid."""
        reached = list(self._settled)
        for address in reached:
            for parent in self._redirected_from.get(address, ()):
                if parent not in self._settled:
                    self._settled.add(parent)
                    reached.append(parent)
        for address, recipient in self._seen.items():
            if address not in self._settled:
                self._refuse(recipient, LOOP, "")

    def _refuse(self, recipient: Recipient, refusal: Reply, plugin: str) -> None:
        self._refusals.append((recipient, refusal))
        if self._told:
            self._told(self._envelope, recipient, refusal, plugin, 0.0)


async def _first_opinion(
    envelope: Envelope, recipient: Recipient, routers: tuple[Question, ...], first: int
) -> tuple[Route | Redirect | Reply, int]:
    """The first answer, and the index of the router that gave it; a fault is a 451."""
    for index in range(first, len(routers)):
        answer: Any = routers[index].ask(envelope, recipient)
        if isinstance(answer, Deferred):
            answer = await answer
        if isinstance(answer, Fault):
            return answer.reply(), index
        if answer is not None:
            return answer, index
    return NO_SUCH_DOMAIN, len(routers)


def _redirected(parent: Recipient, redirect: Redirect) -> list[Recipient]:
    """The recipients that stand in the parent's place, with their DSN parameters.

    RFC 3461 section 5.2.7: a list of its own reverse-path keeps NOTIFY and ORCPT to itself
    (5.2.7.1); one forwarding address inherits them (5.2.7.2); of several, success is
    reported as "expanded" where they fan out, and not again by each (5.2.7.3).
    """
    notify, orcpt = parent.notify, parent.orcpt
    if redirect.sender is not None:
        notify = orcpt = None
    elif notify is not None and "SUCCESS" in notify and len(redirect.addresses) > 1:
        notify = notify - {"SUCCESS"} or frozenset({"NEVER"})
    sender = redirect.sender or parent.sender
    way = (*parent.came_from, parent.address)
    return [
        Recipient(
            address,
            notify,
            orcpt,
            came_from=way,
            sender=sender,
        )
        for address in dict.fromkeys(redirect.addresses)
    ]


def _keeps_again(asked: Recipient, redirect: Redirect) -> bool:
    """Whether `asked` is the copy that its own alias keeps, and this is that alias again."""
    itself = _folded(asked.address)
    return any(_folded(address) == itself for address in asked.came_from) and any(
        _folded(address) == itself for address in redirect.addresses
    )


def _folded(address: Mailbox) -> tuple[str, str]:
    """What meets the same alias is the same here; files of aliases do not mind the case."""
    return address.local.lower(), address.domain

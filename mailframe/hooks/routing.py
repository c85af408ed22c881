"""Redirects followed until every address has a route or a refusal.

Breadth first, so that the nearest way to an address is the one that is kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ..message import Envelope, Recipient, Redirect, Route
from ..smtp.address import Mailbox
from ..smtp.reply import NO_SUCH_DOMAIN, Reply
from .panel import Witness, ask
from .question import Fault, Question

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


async def routed(
    envelope: Envelope,
    recipient: Recipient,
    routers: tuple[Question, ...],
    told: Told | None,
    seconds: Callable[[], float],
    witness: Witness | None = None,
) -> Routing:
    """One recipient's way through the routers, with all that it is redirected to.

    `told` hears of every decision, None if nobody listens; `seconds` is its clock. `witness`
    sees every router that is asked.
    """
    asking = Asking(envelope, routers, told, seconds, witness)
    answer, decided = await asking.ask(recipient, 0)
    if isinstance(answer, Route):
        return Routing((answer.of(recipient),), ())
    if isinstance(answer, Reply):
        return Routing((), ((recipient, answer),))
    return await Expansion(asking, recipient).run(answer, decided)


class Asking:
    """The routers, asked about the recipients of one envelope; see `routed`."""

    __slots__ = ("_envelope", "_routers", "_seconds", "_told", "_witness")

    def __init__(
        self,
        envelope: Envelope,
        routers: tuple[Question, ...],
        told: Told | None,
        seconds: Callable[[], float],
        witness: Witness | None = None,
    ) -> None:
        self._witness = witness
        self._envelope = envelope
        self._routers = routers
        self._told = told
        self._seconds = seconds

    async def ask(self, recipient: Recipient, first: int) -> tuple[Route | Redirect | Reply, int]:
        """The first answer from router `first` on, and the index of who gave it."""
        if self._told is None:
            return await self._first_opinion(recipient, first)
        started = self._seconds()
        answer, decided = await self._first_opinion(recipient, first)
        self.tell(recipient, answer, self.name(decided), (self._seconds() - started) * 1e3)
        return answer, decided

    async def _first_opinion(
        self, recipient: Recipient, first: int
    ) -> tuple[Route | Redirect | Reply, int]:
        """A fault is a 451."""
        answer, index = await ask(
            self._routers,
            (self._envelope, recipient),
            first=first,
            seconds=self._seconds if self._witness is not None else None,
            witness=self._witness,
        )
        if answer is None:
            return NO_SUCH_DOMAIN, index
        return (answer.reply() if isinstance(answer, Fault) else answer), index

    def name(self, index: int) -> str:
        """The router's name, "" for none."""
        return self._routers[index].bound.name if index < len(self._routers) else ""

    def tell(
        self,
        recipient: Recipient,
        answer: Route | Redirect | Reply,
        plugin: str,
        milliseconds: float = 0.0,
    ) -> None:
        """Tell a decision, where somebody listens."""
        if self._told is not None:
            self._told(self._envelope, recipient, answer, plugin, milliseconds)


class Expansion:
    """What becomes of a recipient that is redirected."""

    def __init__(self, asking: Asking, recipient: Recipient) -> None:
        self._asking = asking
        self._recipient = recipient
        self._routes: list[Route] = []
        self._refusals: list[tuple[Recipient, Reply]] = []
        self._waiting: deque[tuple[Recipient, int]] = deque()
        self._seen: dict[Mailbox, Recipient] = {recipient.address: recipient}
        self._settled: set[Mailbox] = set()
        self._redirected_from: dict[Mailbox, list[Mailbox]] = {}

    async def run(self, answer: Route | Redirect | Reply, decided: int) -> Routing:
        """Go on from the first answer until every address is settled."""
        asked = self._recipient
        while self._take(asked, answer, decided) and self._waiting:
            asked, first = self._waiting.popleft()
            answer, decided = await self._asking.ask(asked, first)
        if self._redirected_from:
            self._refuse_rings()
        return Routing(tuple(self._routes), tuple(self._refusals))

    def _take(self, asked: Recipient, answer: Route | Redirect | Reply, decided: int) -> bool:
        """Note one answer; False where they have become too many addresses."""
        if isinstance(answer, Route):
            self._settled.add(asked.address)
            self._routes.append(answer.of(asked))
        elif isinstance(answer, Reply):
            self._settled.add(asked.address)
            self._refusals.append((asked, answer))
        elif _keeps_again(asked, answer):
            # Asked anew at a later attempt: its others have had their copies since.
            self._waiting.append((asked, decided + 1))
        else:
            plugin = self._asking.name(decided)
            self._follow(asked, answer, plugin, decided + 1)
            if len(self._seen) > MAX_ADDRESSES:
                self._routes.clear()
                self._refusals.clear()
                self._redirected_from.clear()
                self._refuse(self._recipient, TOO_MANY, plugin)
                return False
        return True

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
        self._asking.tell(recipient, refusal, plugin)


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

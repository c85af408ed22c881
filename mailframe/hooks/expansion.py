"""Follows redirects until every address has a route or a refusal.

It goes breadth first, so that the shortest way to an address is kept. Long work is done in turns,
and the reactor does other work between them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from twisted.internet.defer import Deferred

from ..eventual import TURN, is_later, pause
from ..message import Recipient, Redirect, Route
from ..message.notify import merged_notify
from ..smtp.address import Mailbox
from ..smtp.reply import Reply
from .routing import Asking, Known, Opinion, Routing, routing_of

MAX_DEPTH = 20  # redirects one after the other
ASKED = 100  # refused members of a list after which others are assumed to be good

LOOP = Reply(554, "Mail loop detected: this address redirects to itself", "5.4.6")
TOO_DEEP = Reply(554, f"More than {MAX_DEPTH} redirects one after the other", "5.4.6")


async def routed(
    recipient: Recipient,
    asking: Asking,
    asked: Opinion | Deferred[Opinion],
    most: int,
    known: Known,
) -> Routing:
    """See `Hooks.route`. `asked` is the answer about the recipient itself."""
    answer, decided = await asked if is_later(asked) else asked
    if not isinstance(answer, Redirect):
        return routing_of(recipient, answer)
    return await Expansion(asking, recipient, most, known).run(answer, decided)


class Expansion:
    """The addresses that one redirected recipient stands for. Call `run` or `accepts`, once.

    There may be at most `most` of them. The `known` ones are not asked about, because the message
    already has an entry for each.
    """

    def __init__(self, asking: Asking, recipient: Recipient, most: int, known: Known) -> None:
        self._asking = asking
        self._recipient = recipient
        self._most = most
        self._known = known
        self._repeated: list[Recipient] = []
        self._plugin = ""  # that redirected last
        self._is_long = False
        self._routes: list[Route] = []
        self._refusals: list[tuple[Recipient, Reply]] = []
        # Breadth first: the children of one recipient after those of another, made when needed.
        self._waiting: deque[Iterator[tuple[Recipient, int]]] = deque()
        self._seen: dict[Mailbox, Recipient] = {recipient.address: recipient}
        self._settled: set[Mailbox] = set()
        self._redirected_from: dict[Mailbox, list[Mailbox]] = {}

    async def run(self, answer: Route | Redirect | Reply, decided: int) -> Routing:
        """Go on from the first answer until every address has a route or a refusal."""
        await self._settle(answer, decided, lambda: False)
        if self._is_too_large:
            return self._too_many()
        if self._redirected_from:
            self._refuse_rings()
        return Routing(tuple(self._routes), tuple(self._refusals), tuple(self._repeated))

    async def accepts(self, answer: Route | Redirect | Reply, decided: int) -> Routing:
        """Go on until an address has a route, or ASKED addresses are refused."""
        await self._settle(answer, decided, self._is_enough)
        if self._routes:
            return Routing(tuple(self._routes), ())
        if self._is_too_large:
            return self._too_many()
        if self._next() is not None:
            return Routing((), ())
        self._refuse_rings()
        return Routing((), tuple(self._refusals))

    def _is_enough(self) -> bool:
        return bool(self._routes) or len(self._refusals) >= ASKED

    async def _settle(
        self, answer: Route | Redirect | Reply, decided: int, ends: Callable[[], bool]
    ) -> None:
        reactor, asked = self._asking.reactor, self._recipient
        began = reactor.seconds()
        while True:
            self._take(asked, answer, decided)
            if ends() or self._is_too_large:
                return
            following = self._next()
            if following is None or self._is_too_large:
                return
            if reactor.seconds() - began > TURN:
                await pause(reactor)
                began = reactor.seconds()
            asked, first = following
            found = self._asking.ask(asked, first)
            answer, decided = await found if is_later(found) else found

    def _next(self) -> tuple[Recipient, int] | None:
        """The next recipient to ask about, and the index of the first router to ask."""
        waiting = self._waiting
        while waiting:
            found = next(waiting[0], None)
            if found is not None:
                return found
            waiting.popleft()
        return None

    @property
    def _is_too_large(self) -> bool:
        return self._is_long or len(self._seen) > self._most

    def _too_many(self) -> Routing:
        refusal = Reply(550, f"Stands for more than {self._most} addresses", "5.2.4")
        self._asking.tell(self._recipient, refusal, self._plugin)
        return Routing((), ((self._recipient, refusal),))

    def _take(self, asked: Recipient, answer: Route | Redirect | Reply, decided: int) -> None:
        """Note one answer."""
        if isinstance(answer, Route):
            self._settled.add(asked.address)
            self._routes.append(answer.of(asked))
        elif isinstance(answer, Reply):
            self._settled.add(asked.address)
            self._refusals.append((asked, answer))
        elif _keeps_again(asked, answer):
            # The alias is asked again at a later attempt: its other members already have copies.
            self._waiting.append(iter([(asked, decided + 1)]))
        else:
            self._plugin = self._asking.name(decided)
            addresses = answer.addresses
            if len(addresses) >= self._most:
                self._is_long = len({asked.address, *addresses}) > self._most
            self._waiting.append(self._children(asked, answer, self._plugin, decided + 1))

    def _children(
        self, asked: Recipient, redirect: Redirect, plugin: str, following: int
    ) -> Iterator[tuple[Recipient, int]]:
        """The recipients of a redirect that have to be asked about."""
        itself = _folded(asked.address)
        earlier = {_folded(address) for address in asked.came_from} - {itself}
        for child in _redirected(asked, redirect, self._known, self._repeated):
            if child is None:
                self._settled.add(asked.address)
                continue
            folded = _folded(child.address)
            if folded in earlier:
                self._settled.add(asked.address)
                self._refuse(child, LOOP, plugin)
            elif len(child.came_from) > MAX_DEPTH:
                self._settled.add(asked.address)
                self._refuse(child, TOO_DEEP, plugin)
            else:
                # An alias that lists itself keeps a copy; the routers after it say where.
                first = following if folded == itself else 0
                if child.address == asked.address:
                    yield child, first
                    continue
                self._redirected_from.setdefault(child.address, []).append(asked.address)
                if child.address not in self._seen:
                    self._seen[child.address] = child
                    yield child, first

    def _refuse_rings(self) -> None:
        """Refuse addresses that redirect only to each other: their mail would vanish silently."""
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


def _redirected(
    parent: Recipient, redirect: Redirect, known: Known, repeated: list[Recipient]
) -> Iterator[Recipient | None]:
    """The recipients that replace the parent, with their DSN parameters.

    RFC 3461 section 5.2.7: a list with a reverse-path of its own does not pass NOTIFY and ORCPT on
    (5.2.7.1). A single forwarding address inherits them (5.2.7.2). If there are several, success
    is reported once, as "expanded", and not again for each of them (5.2.7.3).
    A known recipient gives None; it is added to `repeated` if its NOTIFY now asks for more.
    """
    notify, orcpt = parent.notify, parent.orcpt
    if redirect.sender is not None:
        notify = orcpt = None
    elif notify is not None and "SUCCESS" in notify and len(redirect.addresses) > 1:
        notify = notify - {"SUCCESS"} or frozenset({"NEVER"})
    sender = redirect.sender or parent.sender
    way = (*parent.came_from, parent.address)
    named: set[Mailbox] = set()
    for address in redirect.addresses:
        if address in named:
            continue
        named.add(address)
        key = address, sender
        child = None
        if known and key in known:
            before = known[key]
            if merged_notify(before, notify) != before:
                repeated.append(Recipient(address, notify, orcpt, came_from=way, sender=sender))
        else:
            child = Recipient(address, notify, orcpt, came_from=way, sender=sender)
        yield child


def _keeps_again(asked: Recipient, redirect: Redirect) -> bool:
    """True if `asked` is the copy that its own alias keeps, and `redirect` is that alias again."""
    itself = _folded(asked.address)
    return any(_folded(address) == itself for address in asked.came_from) and any(
        _folded(address) == itself for address in redirect.addresses
    )


def _folded(address: Mailbox) -> tuple[str, str]:
    """The address in the form that alias files compare, which ignore case."""
    return address.local.lower(), address.domain

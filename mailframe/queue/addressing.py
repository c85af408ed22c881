"""Finds where one message goes, each address once, even if many recipients stand for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from twisted.logger import Logger

from ..eventual import TURN, is_later
from ..final_delivery import delivered_to, was_at
from ..hooks import Routing
from ..message import Entry, Outcome, Pending, Recipient, Route, Status
from ..message.notify import Notify, merged_notify
from ..smtp.address import Mailbox
from ..smtp.reply import BEEN_HERE, Reply
from .context import Context
from .progress import Progress
from .waits import Waits

_Key = tuple[Mailbox, Mailbox | None]


class Addressing:
    """Asks for the routes of all due recipients of a message.

    The message has one entry for each address and reverse-path (`Recipient.key`); if two recipients
    lead to one entry, their NOTIFY is merged. A recipient that stands for others is replaced by
    them. A message may have at most `hooks.expansion` such entries at a time. A recipient for which
    there is no room waits until there are fewer.
    """

    _log = Logger()

    def __init__(self, context: Context, entry: Entry, progress: Progress, waits: Waits) -> None:
        self._context = context
        self._entry = entry
        self._progress = progress
        self._waits = waits
        self._known: dict[_Key, Notify] = {}
        self._recipients: dict[_Key, Recipient] = {}
        self._ways: dict[_Key, Route | Reply] = {}
        self._seen: frozenset[bytes] | None = None  # its Delivered-To fields
        self._others = 0  # entries that come from redirects

    async def routes(self, due: Iterable[Pending]) -> list[Route]:
        """The routes of all these. Refused recipients are settled here."""
        # A recipient that was given twice counts once: dropping the second would drop both.
        due = list({each.recipient: each for each in due}.values())
        if len(self._entry.pending) > 1:
            self._remember(self._entry.pending, due)
        elif due and due[0].recipient.came_from:
            self._others = 1
        seconds = self._context.reactor.seconds
        began = seconds()
        for pending in due:
            recipient = pending.recipient
            if recipient.key in self._known:
                self._merge(recipient)
                if recipient != self._recipients[recipient.key]:
                    self._progress.drop(recipient)
                continue
            routing = self._context.hooks.route(
                self._entry.message.envelope, recipient, known=self._known
            )
            if is_later(routing):
                routing = await self._waits.wait(routing)
            if len(due) == 1 and _is_plain(routing, recipient):
                return list(routing.routes)
            self._take(pending, await self._without_loops(recipient, routing))
            if seconds() - began > TURN:
                await self._waits.sleep(0.0)
                began = seconds()
        return self._settled()

    async def _without_loops(self, recipient: Recipient, routing: Routing) -> Routing:
        """Refuse a message that comes back to an alias that has sent it out, as Postfix does."""
        known = len(recipient.came_from)
        ways = {
            child.came_from[known:]
            for child in (*(route.recipient for route in routing.routes), *_refused(routing))
            if child is not None and len(child.came_from) > known
        }
        if not ways:
            return routing
        seen = await self._been_at()
        been = {each for way in ways for each in way if was_at(each, seen)} if seen else None
        if not been:
            return routing
        if recipient.address in been:
            return Routing((), ((recipient, BEEN_HERE),))
        loops = [
            route.recipient
            for route in routing.routes
            if route.recipient is not None and not been.isdisjoint(route.recipient.came_from)
        ]
        return replace(
            routing,
            routes=tuple(route for route in routing.routes if route.recipient not in loops),
            refusals=(*routing.refusals, *((each, BEEN_HERE) for each in loops)),
        )

    async def _been_at(self) -> frozenset[bytes]:
        """The Delivered-To fields of the message, read once."""
        if self._seen is None:
            content = self._entry.message.content
            if content.at_hand is not None:
                self._seen = delivered_to(content)
            else:
                self._seen = await self._waits.wait(self._context.in_thread(delivered_to, content))
        return self._seen

    def _remember(self, pending: Iterable[Pending], due: list[Pending]) -> None:
        """Remember recipients that are not due, so that no other recipient brings their mail."""
        asked = {each.recipient for each in due}
        for each in pending:
            recipient = each.recipient
            self._others += bool(recipient.came_from)
            if recipient not in asked:
                self._know(recipient)

    def _know(self, recipient: Recipient) -> None:
        self._known[recipient.key] = recipient.notify
        self._recipients[recipient.key] = recipient

    def _take(self, pending: Pending, routing: Routing) -> None:
        """Replace a recipient with those that it stands for, if there is room."""
        context, recipient = self._context, pending.recipient
        found: list[tuple[Recipient | None, Route | Reply]] = [
            *((route.recipient, route) for route in routing.routes),
            *routing.refusals,
        ]
        others = sum(1 for child, _ in found if child is not None and child.came_from)
        before = self._others - bool(recipient.came_from)
        if before and others > 1 and before + others > context.hooks.expansion:
            self._put_off(recipient)
            return
        self._others = before + others
        self._progress.expand(pending, routing)
        for child, way in found:
            if child is not None:
                self._know(child)
                self._ways[child.key] = way
        for child in routing.repeated:
            self._merge(child)

    def _put_off(self, recipient: Recipient) -> None:
        most = self._context.hooks.expansion
        self._log.warn(
            "{id}: {recipient} waits until what others stand for is fewer than {most} addresses",
            id=self._entry.id,
            recipient=str(recipient.address),
            most=most,
        )
        text = f"The recipients of this message stand for more than {most} addresses at a time"
        self._know(recipient)
        self._progress.put_off([recipient], Reply(452, text, "4.5.3"))

    def _merge(self, recipient: Recipient) -> None:
        """Merge the NOTIFY of a recipient that the message already has."""
        key = recipient.key
        before = self._recipients[key]
        notify = merged_notify(before.notify, recipient.notify)
        if notify != before.notify:
            after = replace(before, notify=notify)
            self._progress.rename(before, after)
            self._know(after)

    def _settled(self) -> list[Route]:
        """The routes, with the current recipients. Refusals are settled."""
        routes: list[Route] = []
        for key, way in self._ways.items():
            recipient = self._recipients[key]
            if isinstance(way, Reply):
                status = Status.FAILED if way.permanent else Status.DEFERRED
                self._progress.settle(Outcome(recipient, status, way))
            else:
                routes.append(way if way.recipient is recipient else way.of(recipient))
        return routes


def _is_plain(routing: Routing, recipient: Recipient) -> bool:
    """True if the only result is a route for the recipient itself."""
    routes = routing.routes
    return len(routes) == 1 and routes[0].recipient is recipient and not routing.refusals


def _refused(routing: Routing) -> Iterator[Recipient]:
    return (recipient for recipient, _ in routing.refusals)

"""One attempt at one message: it is routed anew and delivered, and all outcomes are recorded.

Recipients that were not tried, because the destination is busy or we stop, stay as they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from twisted.internet.defer import CancelledError, Deferred, DeferredList, TimeoutError
from twisted.logger import Logger

from ..eventual import is_later
from ..final_delivery import forwarded
from ..message import Entry, Message, Outcome, Pending, Status
from ..smtp.reply import LOCAL_ERROR, Reply
from .addressing import Addressing
from .context import Context
from .destinations import Entrance
from .parcels import Parcel, parcels_of
from .progress import Progress
from .recording import Recording
from .waits import Waits

TURNED_AWAY = 2.0  # seconds until a parcel for a busy destination is due again
CROWDED = 3  # sessions asked for in one attempt at a host that takes no more of them now
TIMED_OUT = Reply(451, "The delivery took too long, trying again later", "4.4.7")


class Attempt:
    """`run` never fails. `cancel` ends it soon, after it has recorded the results so far."""

    _log = Logger()

    def __init__(self, context: Context, entry: Entry) -> None:
        self._context = context
        self._entry = entry
        self._waits = Waits(context.reactor)
        self._progress = Progress(context, entry)
        self._recording = Recording(context, entry, self._progress, self._waits)

    def cancel(self) -> None:
        """Stop waiting for agents and destinations."""
        self._waits.end()

    def lose(self) -> None:
        """Stop waiting and record nothing, because another owner has the message."""
        self._recording.lose()

    async def run(self) -> float | None:
        """Try the due recipients. Returns when the rest are due, None if none are left for us."""
        now = self._context.now()
        # If none are due, the clock went back since the claim: then try all.
        due = [each for each in self._entry.pending if each.due <= now] or self._entry.pending
        try:
            parcels = await self._parcels(due)
            if len(parcels) == 1:
                await self._carry_safely(parcels[0])
            elif parcels:
                await DeferredList(
                    [Deferred.fromCoroutine(self._carry_one(parcel)) for parcel in parcels]
                )
        except CancelledError:
            pass
        except Exception:  # noqa: BLE001
            self._log.failure("{id}: the attempt failed, trying again later", id=self._entry.id)
            self._progress.put_off(each.recipient for each in due)
        await self._recording.finish()
        if self._recording.is_lost:
            return None
        return min((each.due for each in self._progress.left.values()), default=None)

    async def _parcels(self, due: Iterable[Pending]) -> list[Parcel]:
        """The parcels of recipients that have a route. Refused recipients are settled here."""
        addressing = Addressing(self._context, self._entry, self._progress, self._waits)
        routes = await addressing.routes(due)
        parcels = parcels_of(routes)
        for parcel in parcels:
            for route in parcel.routes:
                recipient = route.recipient
                # This is the recipient after redirects, whose domain the next claim looks at.
                if recipient is not None:
                    self._context.destinations.learn(recipient.address.domain, parcel.place)
        return parcels

    async def _carry_one(self, parcel: Parcel) -> None:
        """Deliver one of several parcels, and record its outcomes without waiting for the rest."""
        await self._carry_safely(parcel)
        await self._recording.save()

    async def _carry_safely(self, parcel: Parcel) -> None:
        try:
            await self._carry(parcel)
        except Exception:  # noqa: BLE001
            self._log.failure("{id}: the attempt failed, trying again later", id=self._entry.id)
            self._progress.put_off(parcel.recipients)

    async def _carry(self, parcel: Parcel) -> None:
        outcomes: Sequence[Outcome] | None = None
        crowded, left = True, CROWDED
        try:
            while crowded and left:
                if not await self._is_let_in(parcel):
                    return
                left, outcomes = left - 1, None
                try:
                    outcomes = await self._deliver(parcel)
                finally:
                    crowded = self._context.destinations.leave(parcel, self._entry.id, outcomes)
        except CancelledError:
            return
        for outcome, same in zip(outcomes or (), parcel.shared, strict=True):
            for recipient in same:
                known = outcome.recipient is recipient
                self._progress.settle(outcome if known else replace(outcome, recipient=recipient))

    async def _is_let_in(self, parcel: Parcel) -> bool:
        """Wait for this parcel's turn. False if it must wait for a later attempt."""
        destinations, id = self._context.destinations, self._entry.id
        entrance = destinations.enter(parcel, id)
        if is_later(entrance):
            entrance = await self._waits.wait(entrance)
            if entrance is Entrance.OPEN and destinations.is_down(parcel.place):
                destinations.leave(parcel, id, None)
                entrance = Entrance.DOWN
        if entrance is Entrance.DOWN:
            self._progress.put_off(parcel.recipients, destinations.reply(parcel.place))
        elif entrance is Entrance.BUSY:
            self._turned_away(parcel)
        return entrance is Entrance.OPEN

    def _turned_away(self, parcel: Parcel) -> None:
        """Postpone recipients for a moment, unless claims can leave out their domain."""
        context = self._context
        for recipient in parcel.recipients:
            if not context.destinations.is_home(recipient.address.domain, parcel.place):
                due = context.now() + TURNED_AWAY * (1.5 + context.chance() / 2)
                self._progress.postpone(recipient, due)

    async def _deliver(self, parcel: Parcel) -> Sequence[Outcome]:
        """Ask the agent for one Outcome for each route. Raises CancelledError if we stop."""
        message, context = self._entry.message, self._context
        if parcel.sender is not None and message.envelope.sender is not None:
            envelope = replace(message.envelope, sender=parcel.sender)
            message = Message(message.id, envelope, message.content)
        if parcel.aliases:
            message = forwarded(message, parcel.aliases)
        try:
            outcomes = context.hooks.deliver(message, parcel.agent, parcel.routes)
            if is_later(outcomes):
                agent = context.hooks.agents.get(parcel.agent)
                if agent is None or agent.timeout > context.times.attempt_timeout:
                    outcomes.addTimeout(context.times.attempt_timeout, context.reactor)
                outcomes = await self._waits.wait(outcomes)
        except CancelledError:
            raise
        except TimeoutError:
            return self._all(parcel, TIMED_OUT)
        except Exception:  # noqa: BLE001
            self._log.failure("{id}: {agent} failed", id=message.id, agent=parcel.agent)
            return self._all(parcel, LOCAL_ERROR)
        return outcomes

    def _all(self, parcel: Parcel, reply: Reply) -> list[Outcome]:
        first = (same[0] for same in parcel.shared)
        return [Outcome(recipient, Status.DEFERRED, reply) for recipient in first]

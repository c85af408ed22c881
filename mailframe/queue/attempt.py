"""One attempt at one message: routed anew, delivered in parcels, every outcome recorded.

What was not tried, because the destination is busy or we stop, stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ..eventual import at_once, is_later
from ..interfaces import IQueueStore
from ..message import Entry, Message, Outcome, Pending, Recipient, Route, Status
from ..repeated import RepeatedLog
from ..settings import QueueTimes
from ..smtp.reply import LOCAL_ERROR, RECIPIENT_OK, Reply
from . import retry
from .bounce import Action, Notice
from .destinations import Destinations, Entrance
from .parcels import Parcel, parcels_of
from .reports import Reports

if TYPE_CHECKING:
    from ..hooks import Hooks, Routing

TURNED_AWAY = 2.0  # seconds
RECORD_AGAIN = 10.0  # seconds, where the store cannot record
TIMED_OUT = Reply(451, "The delivery took too long, trying again later", "4.4.7")

_SUCCESS: dict[Status, Action] = {
    Status.DELIVERED: "delivered",
    Status.RELAYED: "relayed",
    Status.EXPANDED: "expanded",
}


@dataclass(frozen=True, slots=True)
class Room:
    """What all attempts share. `chance()` is from -1 to 1, for the jitter."""

    hooks: Hooks
    store: IQueueStore
    destinations: Destinations
    reports: Reports
    times: QueueTimes
    reactor: IReactorTime
    now: Callable[[], float]
    chance: Callable[[], float]
    repeated: RepeatedLog


class Attempt:
    """`run` never fails. `cancel` ends it soon, with what is known by then recorded."""

    _log = Logger()

    def __init__(self, room: Room, entry: Entry) -> None:
        self._room = room
        self._entry = entry
        self._left: dict[Recipient, Pending] = {each.recipient: each for each in entry.pending}
        self._changed = False
        self._notices: list[Notice] = []
        self._waits: set[Deferred[Any]] = set()
        self._cancelled = False
        self._saving = False

    def cancel(self) -> None:
        """Stop waiting for agents and destinations."""
        self._cancelled = True
        for wait in list(self._waits):
            wait.cancel()

    async def run(self) -> float | None:
        """Try what is due; when the rest is due next, None where nothing is left."""
        now = self._room.now()
        # With none due the clock went back since the claim: then all are.
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
            self._put_off(each.recipient for each in due)
        await self._save(release=True)
        return min((each.due for each in self._left.values()), default=None)

    async def _parcels(self, due: Iterable[Pending]) -> list[Parcel]:
        """Ask for the routes of all; what is refused is settled here."""
        envelope = self._entry.message.envelope
        routes: list[Route] = []
        for pending in due:
            routing = self._room.hooks.route(envelope, pending.recipient)
            if is_later(routing):
                routing = await self._wait(routing)
            self._expand(pending, routing)
            for recipient, reply in routing.refusals:
                status = Status.FAILED if reply.permanent else Status.DEFERRED
                self._settle(Outcome(recipient, status, reply))
            routes += routing.routes
        parcels = parcels_of(routes)
        for parcel in parcels:
            for route in parcel.routes:
                recipient = route.recipient
                # Of what a redirect led to, the domain is that of the next attempt.
                if recipient is not None:
                    self._room.destinations.learn(recipient.address.domain, parcel.place)
        return parcels

    def _expand(self, pending: Pending, routing: Routing) -> None:
        """Put those that a recipient stands for in its place."""
        children = [route.recipient for route in routing.routes if route.recipient is not None]
        children += [recipient for recipient, _ in routing.refusals]
        recipient = pending.recipient
        if len(children) == 1 and (children[0] is recipient or children[0] == recipient):
            return
        del self._left[recipient]
        self._changed = True
        for child in children:
            self._left[child] = replace(pending, recipient=child)
        notify = recipient.notify
        if notify is None or "SUCCESS" not in notify:
            return
        if any(child.notify is not None and "SUCCESS" in child.notify for child in children):
            return
        # RFC 3461 section 5.2.7: a list has received it; several mailboxes are "expanded".
        own = any(child.sender not in (None, recipient.sender) for child in children)
        self._notices.append(Notice("delivered" if own else "expanded", recipient, RECIPIENT_OK))

    async def _carry_one(self, parcel: Parcel) -> None:
        """One of several: what is known is saved without waiting for the others."""
        await self._carry_safely(parcel)
        if not self._saving:
            self._saving = True
            while self._changed:
                await self._save(release=False)
            self._saving = False

    async def _carry_safely(self, parcel: Parcel) -> None:
        try:
            await self._carry(parcel)
        except Exception:  # noqa: BLE001
            self._log.failure("{id}: the attempt failed, trying again later", id=self._entry.id)
            self._put_off(parcel.recipients)

    async def _carry(self, parcel: Parcel) -> None:
        destinations = self._room.destinations
        entrance = destinations.enter(parcel)
        if is_later(entrance):
            try:
                await self._wait(entrance)
            except CancelledError:
                return
            if destinations.is_down(parcel.place):
                destinations.leave(parcel.place, None, parcel.remote)
                entrance = Entrance.DOWN
        if entrance is Entrance.DOWN:
            self._put_off(parcel.recipients, destinations.reply(parcel.place))
            return
        if entrance is Entrance.BUSY:
            self._turned_away(parcel)
            return
        outcomes: Sequence[Outcome] | None = None
        try:
            outcomes = await self._deliver(parcel)
        except CancelledError:
            return
        finally:
            destinations.leave(parcel.place, outcomes, parcel.remote)
        for outcome, same in zip(outcomes, parcel.shared, strict=True):
            for recipient in same:
                known = outcome.recipient is recipient
                self._settle(outcome if known else replace(outcome, recipient=recipient))

    def _turned_away(self, parcel: Parcel) -> None:
        """Left as they are where claims can leave them out, else out of the way for a moment."""
        room = self._room
        for recipient in parcel.recipients:
            if not room.destinations.is_home(recipient.address.domain, parcel.place):
                due = room.now() + TURNED_AWAY * (1.5 + room.chance() / 2)
                self._left[recipient] = replace(self._left[recipient], due=due)
                self._changed = True

    async def _deliver(self, parcel: Parcel) -> Sequence[Outcome]:
        """Ask the agent; one Outcome per route. CancelledError where we stop."""
        message = self._entry.message
        if parcel.sender is not None:
            envelope = replace(message.envelope, sender=parcel.sender)
            message = Message(message.id, envelope, message.content)
        try:
            outcomes = self._room.hooks.deliver(message, parcel.agent, parcel.routes)
            if is_later(outcomes):
                agent = self._room.hooks.agents.get(parcel.agent)
                if agent is None or agent.timeout > self._room.times.attempt_timeout:
                    outcomes.addTimeout(self._room.times.attempt_timeout, self._room.reactor)
                outcomes = await self._wait(outcomes)
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

    async def _wait(self, wait: Deferred[Any]) -> Any:
        """Wait for it so that `cancel` ends the wait."""
        if self._cancelled:
            wait.cancel()
        self._waits.add(wait)
        try:
            return await wait
        finally:
            self._waits.discard(wait)

    def _settle(self, outcome: Outcome) -> None:
        """Note what became of one recipient."""
        recipient = outcome.recipient
        pending = self._left.get(recipient)
        if pending is None:
            return
        self._changed = True
        if outcome.status is Status.DEFERRED:
            self._defer(pending, outcome)
        elif outcome.status is Status.FAILED:
            self._fail(Notice("failed", recipient, outcome.reply, outcome.remote))
        else:
            del self._left[recipient]
            action = _SUCCESS.get(outcome.status)
            if action and recipient.notify is not None and "SUCCESS" in recipient.notify:
                self._notices.append(Notice(action, recipient, outcome.reply, outcome.remote))

    def _defer(self, pending: Pending, outcome: Outcome, tried: int = 1) -> None:
        room, created = self._room, self._entry.created
        now = room.now()
        notice = Notice("failed", pending.recipient, outcome.reply, outcome.remote, "4.4.7")
        if retry.is_over(room.times, now, created):
            self._fail(notice)
            return
        attempts = pending.attempts + tried
        due = retry.next_attempt(
            room.times, now, created, max(1, attempts), outcome.retry_after, room.chance()
        )
        late = retry.is_late(room.times, now, created, pending)
        if late:
            self._notices.append(replace(notice, action="delayed", status=None))
        self._left[pending.recipient] = Pending(
            pending.recipient,
            due,
            attempts,
            outcome.reply,
            outcome.remote,
            pending.warned or late,
        )
        self._tell("deferred", pending.recipient, outcome.reply, due=due, attempts=attempts)

    def _put_off(self, recipients: Iterable[Recipient], reply: Reply = LOCAL_ERROR) -> None:
        """Deferred without having been tried."""
        for recipient in recipients:
            pending = self._left.get(recipient)
            if pending is not None:
                self._changed = True
                self._defer(pending, Outcome(recipient, Status.DEFERRED, reply), tried=0)

    def _fail(self, notice: Notice) -> None:
        del self._left[notice.recipient]
        self._notices.append(notice)
        self._tell("failed", notice.recipient, notice.reply)

    async def _save(self, release: bool) -> None:
        """Report and record what is known by now, again and again until it is recorded."""
        if not self._changed:
            if release:
                await self._stored(lambda: self._room.store.release([self._entry.id]))
            return
        self._changed = False
        notices, self._notices = self._notices, []
        left = dict(self._left)
        if notices:
            for missed in await self._room.reports.send(self._entry, notices):
                self._unreported(missed, left)
        waiting = tuple(left.values())
        await self._stored(lambda: self._room.store.record(self._entry.id, waiting, release))
        if not left:
            self._room.hooks.tell("queue", "finished", id=self._entry.id)

    def _unreported(self, notice: Notice, left: dict[Recipient, Pending]) -> None:
        """A failure nobody could be told of is not recorded: it is found out again later."""
        recipient, room = notice.recipient, self._room
        if notice.action == "failed":
            due = room.now() + retry.wait(room.times, 1, room.chance())
            pending = Pending(recipient, due, 1, LOCAL_ERROR)
        elif notice.action == "delayed" and recipient in left:
            pending = replace(left[recipient], warned=False)
        else:
            return
        left[recipient] = self._left[recipient] = pending

    async def _stored(self, store: Callable[[], Any]) -> None:
        while True:
            try:
                done = at_once(store())
                if is_later(done):
                    await done
                return
            except Exception:  # noqa: BLE001
                self._room.repeated.failure(
                    "{id}: the store cannot record its outcome, trying again", id=self._entry.id
                )
            if self._cancelled:
                return
            pause: Deferred[None] = Deferred()
            timer = self._room.reactor.callLater(RECORD_AGAIN, pause.callback, None)
            try:
                await self._wait(pause)
            except CancelledError:
                timer.cancel()

    def _tell(
        self, verdict: str, recipient: Recipient, reply: Reply, due: float = 0.0, attempts: int = 0
    ) -> None:
        self._room.hooks.tell(
            "queue",
            verdict,
            id=self._entry.id,
            recipient=str(recipient.address),
            reply=str(reply),
            due=due,
            attempts=attempts,
        )

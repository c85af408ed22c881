"""The scheduler: a bounded window of messages that are worked on, fed by what is due.

Fresh messages come straight from their sessions (`accept`) while there is room; everything
else waits in the store and is claimed when it is due. One delayed call wakes it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.application import service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ..eventual import Eventual, at_once, is_later, settled
from ..interfaces import IBatchingAgent, IQueueStore
from ..message import Entry
from ..repeated import RepeatedLog
from ..settings import BounceSettings, QueueTimes
from .attempt import Attempt, Room
from .clock import BACK, pull_back
from .destinations import Destinations
from .reports import Desk, Reports
from .retry import longest_wait

if TYPE_CHECKING:
    from ..hooks import Hooks

CLAIM_AT_ONCE = 50  # messages
STOP_WAIT = 10.0  # seconds that running attempts get before they are cut off
LOOK_AGAIN = 1.0  # seconds, where something is due that cannot be claimed now
AFTER_FAULT = 10.0  # seconds, where the store cannot answer
LONGEST_SLEEP = 60.0  # seconds: a clock that jumps ahead is noticed


class Scheduler(service.Service):
    """See the module. `now()` is seconds since the epoch."""

    _log = Logger()

    def __init__(
        self,
        *,
        hooks: Hooks,
        store: IQueueStore,
        hostname: str,
        times: QueueTimes,
        bounces: BounceSettings,
        reactor: IReactorTime,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._times = times
        self._reactor = reactor
        self._now = now
        at_once = {
            name: bound.plugin.at_once
            for name, bound in hooks.agents.items()
            if IBatchingAgent.providedBy(bound.plugin)
        }
        self._destinations = Destinations(times, reactor.seconds, self._destination_freed, at_once)
        self._repeated = RepeatedLog(self._log, reactor.seconds)
        self._room = self._furnished(hooks, hostname, bounces)
        self._active: dict[str, Attempt] = {}
        self._emptied: Deferred[None] | None = None  # fires when none is active any more
        self._backlog = False  # more was due than there was room for
        self._filling = False
        self._fill_again = False
        self._last_fill: Deferred[None] | None = None  # fires when the claim under way ends
        self._drained = float("-inf")  # when nothing was excluded from a claim, reactor's seconds
        self._latest = now()
        self._wake: IDelayedCall | None = None
        self._renewal: IDelayedCall | None = None

    def _furnished(self, hooks: Hooks, hostname: str, bounces: BounceSettings) -> Room:
        """What every attempt needs."""
        desk = Desk(
            hooks=hooks,
            store=self._store,
            hostname=hostname,
            settings=bounces,
            reactor=self._reactor,
            now=self._now,
            give_up_after=self._times.give_up_after,
            may_claim=self.has_room,
            hand_over=self.accept,
        )
        return Room(
            hooks=hooks,
            store=self._store,
            destinations=self._destinations,
            reports=Reports(desk),
            times=self._times,
            reactor=self._reactor,
            now=self._now,
            chance=lambda: random.uniform(-1, 1),
            repeated=self._repeated,
        )

    def startService(self) -> None:
        """Begin with what waits in the store."""
        super().startService()  # type: ignore[no-untyped-call]
        self._renewal = self._reactor.callLater(self._times.lease / 3, self._renew)
        self.look()

    def has_room(self) -> bool:
        """Whether a fresh message may be claimed from birth and given to accept()."""
        if not self.running:
            return False
        # While older ones wait they get half of the window.
        room = self._times.active // 2 if self._backlog else self._times.active
        return len(self._active) < max(1, room)

    def accept(self, entry: Entry, claimed: bool) -> None:
        """A message was committed. `claimed`: it is leased to us, and tried at once."""
        self._watch_clock()
        if not claimed:
            self._backlog = True
            if self.running and len(self._active) < self._times.active:
                self._wake_in(0.0)
        elif self.running:
            self._start(entry)
        else:
            self._give_back(entry.id)

    def look(self) -> None:
        """Something may be due: claim as much as there is room for."""
        if self.running:
            self._watch_clock()
            self._destinations.forget_pauses()
            self._wake_in(0.0)

    def _start(self, entry: Entry) -> None:
        if entry.id in self._active:
            return
        attempt = Attempt(self._room, entry)
        self._active[entry.id] = attempt
        try:
            running: Eventual[float | None] = attempt.run()
            result = at_once(running)
        except Exception:  # noqa: BLE001
            self._log.failure("{id}: the attempt failed", id=entry.id)
            result = None
        if is_later(result):
            result.addCallbacks(
                self._ended, self._broke, callbackArgs=(entry.id,), errbackArgs=(entry.id,)
            )
        else:
            self._ended(result, entry.id)

    def _broke(self, failure: Any, id: str) -> None:
        # Its lease runs out, then it is claimed again.
        self._log.failure("{id}: the attempt failed", failure=failure, id=id)
        self._ended(None, id)

    def _ended(self, due: float | None, id: str) -> None:
        del self._active[id]
        if not self.running:
            if self._emptied is not None and not self._active:
                self._emptied.callback(None)
            return
        if self._backlog and len(self._active) <= self._times.active * 3 // 4:
            self._wake_in(0.0)
        elif due is not None:
            # What is due already was turned away by a busy destination.
            self._wake_in(max(LOOK_AGAIN, due - self._now()))

    def _destination_freed(self) -> None:
        if self.running:
            self._wake_in(0.0)

    def _wake_in(self, seconds: float) -> None:
        """Claim after so many seconds, or sooner if that is planned already."""
        seconds = min(seconds, LONGEST_SLEEP)
        wake = self._wake
        if wake is not None and wake.active():
            if wake.getTime() <= self._reactor.seconds() + seconds:
                return
            wake.cancel()
        self._wake = self._reactor.callLater(seconds, self._woken)

    def _woken(self) -> None:
        if self._filling:
            self._fill_again = True
            return
        self._filling = True
        filling: Eventual[float | None] = self._fill()
        result = at_once(filling)
        if is_later(result):
            result.addBoth(self._filled)
        else:
            self._filled(result)

    def _filled(self, wait: Any) -> None:
        self._filling = False
        if not self.running:
            if self._last_fill is not None:
                self._last_fill.callback(None)
            return
        if self._fill_again:
            wait = 0.0
        self._fill_again = False
        if isinstance(wait, float):
            self._wake_in(wait)

    async def _fill(self) -> float | None:
        """Claim until nothing is due or the window is full; seconds until the next look."""
        self._watch_clock()
        try:
            while self.running:
                room = self._times.active - len(self._active)
                if room <= 0:
                    self._backlog = True
                    return None
                limit = min(room, CLAIM_AT_ONCE)
                now = self._now()
                lease = self._times.lease
                entries = await settled(self._store.claim(now, limit, lease, self._excluded()))
                for entry in entries:
                    self._take(entry)
                if len(entries) < limit:
                    self._backlog = False
                    return await self._until_next()
        except Exception:  # noqa: BLE001
            self._repeated.failure("the queue's store does not answer, trying again")
        return AFTER_FAULT

    def _take(self, entry: Entry) -> None:
        if self.running:
            self._start(entry)
        else:
            self._give_back(entry.id)

    def _excluded(self) -> frozenset[str]:
        """The domains to leave out of this claim: none of them once in a second.

        So those whose time is up while their destination is down are given up too.
        """
        excluded = self._destinations.excluded()
        moment = self._reactor.seconds()
        if excluded and abs(moment - self._drained) >= LOOK_AGAIN:
            self._drained = moment
            return frozenset()
        return excluded

    async def _until_next(self) -> float:
        due = await settled(self._store.next_due())
        wait = LONGEST_SLEEP
        if due is not None:
            # What is due and was not given is leased, or its destination is down.
            wait = max(LOOK_AGAIN, due - self._now())
        up = self._destinations.next_up()
        return wait if up is None else min(wait, max(up, LOOK_AGAIN))

    def _renew(self) -> None:
        self._renewal = self._reactor.callLater(self._times.lease / 3, self._renew)
        if self._active:
            Deferred.fromCoroutine(self._prolong(list(self._active)))

    async def _prolong(self, ids: list[str]) -> None:
        try:
            ours = await settled(self._store.renew(ids, self._now() + self._times.lease))
        except Exception:  # noqa: BLE001
            self._log.failure("leases could not be prolonged")
            return
        for id in ids:
            if id not in ours and id in self._active:
                self._log.warn("{id}: no longer ours, it may be delivered twice", id=id)

    def _watch_clock(self) -> None:
        """A clock that went back would let what was deferred before wait too long."""
        now, latest = self._now(), self._latest
        self._latest = now
        if now >= latest - BACK:
            return
        self._log.warn("the clock went back by {seconds} s", seconds=round(latest - now))
        self._destinations.forget_pauses()
        # The reactor's own time went back, too: what it was to call is far away.
        for call in (self._wake, self._renewal):
            if call is not None and call.active():
                call.reset(0.0)
        pulled = Deferred.fromCoroutine(pull_back(self._store, now, longest_wait(self._times)))
        pulled.addCallback(lambda _: self._wake_in(0.0) if self.running else None)
        pulled.addErrback(
            lambda failure: self._log.failure("deferred mail waits on", failure=failure)
        )

    def _give_back(self, id: str) -> None:
        released = Deferred.fromCoroutine(settled(self._store.release([id])))
        released.addErrback(
            lambda failure: self._log.failure("{id}: lease not given back", failure=failure, id=id)
        )

    def stopService(self) -> Deferred[None]:
        """No new attempts; running ones finish or are cut off; fires when leases are back."""
        super().stopService()  # type: ignore[no-untyped-call]
        for call in (self._wake, self._renewal):
            if call is not None and call.active():
                call.cancel()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._filling:
            # What it claims is given back; the store must not be closed under it.
            self._last_fill = Deferred()
            await self._last_fill
        if not self._active:
            return
        cut_off = self._reactor.callLater(STOP_WAIT, self._cut_off)
        self._emptied = Deferred()
        await self._emptied
        if cut_off.active():
            cut_off.cancel()

    def _cut_off(self) -> None:
        self._log.info("{count} deliveries are cut off", count=len(self._active))
        for attempt in list(self._active.values()):
            attempt.cancel()

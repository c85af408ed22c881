"""Fills the window: claims due messages from the store, with one delayed call for the next time."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ..eventual import Eventual, at_once, is_later, settled
from ..interfaces import IQueueStore
from ..message import Entry
from ..repeated import RepeatedLog
from .destinations import Destinations
from .window import Window

AT_ONCE = 50  # messages
LOOK_AGAIN = 1.0  # seconds until the next claim, if something is due that cannot be claimed now
AFTER_FAULT = 10.0  # seconds until the next claim, if the store cannot answer
LONGEST_SLEEP = 60.0  # seconds, so that a clock that jumps ahead is noticed


class ClaimingState(Enum):
    """The state of claiming."""

    STOPPED = "does nothing until it is started"
    RESTING = "waits for the next look"
    CLAIMING = "the store is asked"
    CLAIMING_AGAIN = "the store is asked, and will be once more"
    ENDING = "the store is asked for the last time; what it gives goes back"


#: The next state, by state and event. An event that is not here cannot happen.
ORDER: dict[ClaimingState, dict[str, ClaimingState]] = {
    ClaimingState.STOPPED: {"start": ClaimingState.RESTING, "stop": ClaimingState.STOPPED},
    ClaimingState.RESTING: {"look": ClaimingState.CLAIMING, "stop": ClaimingState.STOPPED},
    ClaimingState.CLAIMING: {
        "look": ClaimingState.CLAIMING_AGAIN,
        "done": ClaimingState.RESTING,
        "stop": ClaimingState.ENDING,
    },
    ClaimingState.CLAIMING_AGAIN: {
        "look": ClaimingState.CLAIMING_AGAIN,
        "done": ClaimingState.RESTING,
        "stop": ClaimingState.ENDING,
    },
    ClaimingState.ENDING: {"done": ClaimingState.STOPPED, "stop": ClaimingState.ENDING},
}
_AT_WORK = (ClaimingState.CLAIMING, ClaimingState.CLAIMING_AGAIN)
_AWAKE = (ClaimingState.RESTING, *_AT_WORK)


class Claiming:
    """Claims due messages until the window is full, and again if more are due or there is room.

    `lease()` is the end of a lease that begins now, and `now()` is the time, both in seconds since
    the epoch. `look_at_clock()` is called before each claim, and `give_back(id)` for messages that
    were claimed too late.
    """

    def __init__(
        self,
        *,
        store: IQueueStore,
        window: Window,
        destinations: Destinations,
        reactor: IReactorTime,
        now: Callable[[], float],
        lease: Callable[[], float],
        look_at_clock: Callable[[], None],
        give_back: Callable[[str], None],
        repeated: RepeatedLog,
    ) -> None:
        self._store = store
        self._window = window
        self._destinations = destinations
        self._reactor = reactor
        self._now = now
        self._lease = lease
        self._look_at_clock = look_at_clock
        self._give_back = give_back
        self._repeated = repeated
        self._state = ClaimingState.STOPPED
        self._wake: IDelayedCall | None = None
        self._ended: Deferred[None] | None = None  # fires when the last claim has ended
        self._drained = float("-inf")  # the last claim without exclusions, in reactor's seconds

    def start(self) -> None:
        """Begin to claim."""
        self._move("start")
        self.wake_in(0.0)

    def stop(self) -> Deferred[None]:
        """Claim no more. Fires once no claim is running."""
        self._move("stop")
        if self._wake is not None and self._wake.active():
            self._wake.cancel()
        self._ended = Deferred()
        if self._state is ClaimingState.STOPPED:
            self._ended.callback(None)
        return self._ended

    def _move(self, event: str) -> None:
        self._state = ORDER[self._state][event]

    def wake_in(self, seconds: float) -> None:
        """Claim after so many seconds, or sooner if a sooner claim is already planned."""
        if self._state not in _AWAKE:
            return
        seconds = min(seconds, LONGEST_SLEEP)
        wake = self._wake
        if wake is not None and wake.active():
            if wake.getTime() <= self._reactor.seconds() + seconds:
                return
            wake.cancel()
        self._wake = self._reactor.callLater(seconds, self._woken)

    def hurry(self) -> None:
        """Make the planned claim now, because the reactor's own time went back."""
        if self._wake is not None and self._wake.active():
            self._wake.reset(0.0)

    def _woken(self) -> None:
        asking = self._state in _AT_WORK
        self._move("look")
        if asking:
            return
        filling: Eventual[float | None] = self._fill()
        result = at_once(filling)
        if is_later(result):
            result.addBoth(self._filled)
        else:
            self._filled(result)

    def _filled(self, wait: Any) -> None:
        before = self._state
        self._move("done")
        if before is ClaimingState.ENDING and self._ended is not None:
            self._ended.callback(None)
        elif before is ClaimingState.CLAIMING_AGAIN:
            self.wake_in(0.0)
        elif isinstance(wait, float):
            self.wake_in(wait)

    async def _fill(self) -> float | None:
        """Claim until nothing is due or the window is full. Seconds until the next claim."""
        self._look_at_clock()
        window = self._window
        try:
            while self._state in _AT_WORK:
                if window.free <= 0:
                    window.backlog = True
                    return None
                limit = min(window.free, AT_ONCE)
                entries = await settled(
                    self._store.claim(self._now(), limit, self._lease(), self._excluded())
                )
                for entry in entries:
                    self._take(entry)
                if len(entries) < limit:
                    window.backlog = False
                    return await self._until_next()
        except Exception:  # noqa: BLE001
            self._repeated.failure("the queue's store does not answer, trying again")
        return AFTER_FAULT

    def _take(self, entry: Entry) -> None:
        if self._state in _AT_WORK:
            self._window.take(entry)
        else:
            self._give_back(entry.id)

    def _excluded(self) -> frozenset[str]:
        """The domains to leave out of this claim. Once a second, none are left out.

        So messages whose time is up while their destination is down are given up too.
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
            # Messages that are due and were not claimed are leased, or their destination is down.
            wait = max(LOOK_AGAIN, due - self._now())
        up = self._destinations.next_up()
        return wait if up is None else min(wait, max(up, LOOK_AGAIN))

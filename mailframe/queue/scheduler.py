"""The scheduler works on a limited number of messages at a time, the window.

Fresh messages come directly from their sessions (`submission`) while there is room. All others wait
in the store and are claimed when they are due.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

from twisted.application import service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..eventual import settled
from ..interfaces import IBatchingAgent, IInspected, IPausingAgent, IQueueStore
from ..message import Entry
from ..repeated import RepeatedLog
from ..settings import BounceSettings, QueueTimes
from .claiming import LOOK_AGAIN, Claiming
from .clock import WallClock, pull_back
from .context import Context
from .destinations import Destinations
from .renewal import Renewal
from .reports import Reports
from .retry import longest_wait
from .submission import Submission
from .window import Window

if TYPE_CHECKING:
    from ..hooks import Hooks

STOP_WAIT = 10.0  # seconds after which running attempts are cut off at a stop


@implementer(IInspected)
class Scheduler(service.Service):
    """See the module. New messages come in through `submission`.

    `now()` is in seconds since the epoch. `chance()` is a random number from -1 to 1. `in_thread`
    runs what blocks.
    """

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
        chance: Callable[[], float],
        in_thread: Callable[..., Deferred[Any]],
    ) -> None:
        self._hooks = hooks
        self._store = store
        self._times = times
        self._reactor = reactor
        self._now = now
        self._clock = WallClock(now)
        self._pulling: Deferred[Any] | None = None  # while pull_back is running
        self._repeated = RepeatedLog(self._log, reactor.seconds)
        self._destinations = self._places()
        self.submission = Submission(
            hooks=hooks, store=store, now=now, lease=self._lease_from_birth, hand_over=self.accept
        )
        reports = Reports(
            hooks=hooks,
            submit=self.submission.submit,
            hostname=hostname,
            settings=bounces,
            give_up_after=times.give_up_after,
            now=now,
            seconds=reactor.seconds,
            in_thread=in_thread,
        )
        self._work(reports, chance, in_thread)

    def _places(self) -> Destinations:
        """The limits of places: that of the agent, else that of the settings."""
        at_once = {
            name: bound.plugin.at_once if IBatchingAgent.providedBy(bound.plugin) else None
            for name, bound in self._hooks.agents.items()
        }
        return Destinations(self._times, self._reactor.seconds, self._look_now, at_once)

    def _work(
        self,
        reports: Reports,
        chance: Callable[[], float],
        in_thread: Callable[..., Deferred[Any]],
    ) -> None:
        """Make the parts that claim, deliver and renew."""
        context = Context(
            hooks=self._hooks,
            store=self._store,
            destinations=self._destinations,
            reports=reports,
            times=self._times,
            reactor=self._reactor,
            now=self._now,
            chance=chance,
            repeated=self._repeated,
            in_thread=in_thread,
        )
        self._window = Window(context, self._ended)
        self._claiming = Claiming(
            store=self._store,
            window=self._window,
            destinations=self._destinations,
            reactor=self._reactor,
            now=self._now,
            lease=self._lease,
            look_at_clock=self._look_at_clock,
            give_back=self._give_back,
            repeated=self._repeated,
        )
        self._renewal = Renewal(
            store=self._store,
            window=self._window,
            reactor=self._reactor,
            interval=self._times.lease / 3,
            lease=self._lease,
        )

    def startService(self) -> None:
        """Begin with the messages that wait in the store."""
        super().startService()  # type: ignore[no-untyped-call]
        self._store.watch(self._look_now)
        self._renewal.start()
        self._look_at_clock()
        self._destinations.forget_pauses()
        self._claiming.start()
        # The clock may have been set back while the host was not running.
        self._pull_back()

    def state(self) -> Iterable[Mapping[str, object]]:
        """For IInspected: how many messages are worked on, then one row for each destination."""
        return chain([self._window.state()], self._destinations.state())

    def has_room(self) -> bool:
        """True if a fresh message may be leased from the start and given to accept()."""
        return bool(self.running) and self._window.has_room

    def _lease(self) -> float:
        return self._now() + self._times.lease

    def _lease_from_birth(self) -> float | None:
        return self._lease() if self.has_room() else None

    def accept(self, entry: Entry, claimed: bool) -> None:
        """A message was committed. If `claimed`, it is leased to us and tried at once."""
        self._look_at_clock()
        if not claimed:
            self._window.backlog = True
            if self._window.free > 0:
                self._look_now()
        elif self.running:
            self._window.take(entry)
        else:
            self._give_back(entry.id)

    def look(self, domains: Collection[str] | None = None) -> Mapping[str, str]:
        """Claim due messages now, because an operator asks for it.

        The pauses of the places to which mail for these domains goes, or of all places, end: one
        message goes there first. Returns those of the domains that fail, with the place and its
        last words.
        """
        failing = self._destinations.failing(domains or ())
        if self.running:
            self._look_at_clock()
            self._forget_pauses(domains)
            self._look_now()
        return failing

    def _forget_pauses(self, domains: Collection[str] | None = None) -> None:
        """End the pauses of places and agents."""
        self._destinations.forget_pauses(domains)
        if domains is not None and not domains:
            return
        for name, bound in self._hooks.agents.items():
            if IPausingAgent.providedBy(bound.plugin):
                try:
                    bound.plugin.forget_pauses()
                except Exception:  # noqa: BLE001
                    self._log.failure("deliver.{name}: its pauses are not forgotten", name=name)

    def _look_now(self) -> None:
        self._claiming.wake_in(0.0)

    def _ended(self, due: float | None) -> None:
        if self._window.wants_more:
            self._look_now()
        elif due is not None:
            # A message that is due already was turned away by a busy destination.
            self._claiming.wake_in(max(LOOK_AGAIN, due - self._now()))

    def _look_at_clock(self) -> None:
        """If the clock went back, make deferred mail due that would now wait too long."""
        seconds = self._clock.went_back()
        if not seconds:
            return
        self._log.warn("the clock went back by {seconds} s", seconds=round(seconds))
        self._forget_pauses()
        # The reactor's own time went back, too, so its delayed calls would come much too late.
        self._claiming.hurry()
        self._renewal.hurry()
        self._pull_back()

    def _pull_back(self) -> None:
        """Make messages due that were put off too long by a clock that was ahead."""
        if self._pulling is not None:
            self._pulling.cancel()
        pulling = Deferred.fromCoroutine(
            pull_back(self._store, self._now(), longest_wait(self._times))
        )
        self._pulling = pulling
        pulling.addCallbacks(self._pulled_back, self._not_pulled_back)

    def _pulled_back(self, messages: int) -> None:
        self._pulling = None
        if messages:
            self._log.warn("{messages} messages waited by a clock that stood ahead: they are due",
                           messages=messages)  # fmt: skip
            self._look_now()

    def _not_pulled_back(self, failure: Failure) -> None:
        self._pulling = None
        if failure.check(CancelledError) is None:  # type: ignore[no-untyped-call]
            self._log.failure("deferred mail waits on", failure=failure)

    def _give_back(self, id: str) -> None:
        released = Deferred.fromCoroutine(settled(self._store.release([id])))
        released.addErrback(
            lambda failure: self._log.failure("{id}: lease not given back", failure=failure, id=id)
        )

    def stopService(self) -> Deferred[None]:
        """Begin no new attempts, and finish or cut off running ones. Fires when leases are back."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._renewal.stop()
        if self._pulling is not None:
            self._pulling.cancel()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        # A running claim gives back what it gets; the store must not be closed before that.
        await self._claiming.stop()
        emptied = self._window.emptied()
        if emptied.called:
            return
        cut_off = self._reactor.callLater(STOP_WAIT, self._window.cut_off)
        await emptied
        if cut_off.active():
            cut_off.cancel()

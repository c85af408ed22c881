"""How many deliveries one place gets at once, and when it is left alone for a while.

A place whose connections keep failing is marked down for a growing time; then one message
tries it. The domains whose mail goes there are left out of claims meanwhile, so that what
waits for a dead host does not take the window from the rest.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ..message import Outcome, Status
from ..settings import QueueTimes
from ..smtp.reply import NO_DELIVERY, Reply
from .parcels import Parcel, Place

DOWN_AFTER = 3  # failures in a row
FIRST_PAUSE = 30.0  # seconds at most; doubled by every further failure
LONGEST_PAUSE = 900.0  # seconds at most
LEAST_WAITING = 50  # that may wait for a place within the window
MAX_DOMAINS = 10_000  # remembered with the place their mail goes to


class Entrance(Enum):
    """What a parcel finds at its destination."""

    OPEN = "go ahead, and leave() afterwards"
    BUSY = "too many wait already"
    DOWN = "it is left alone for now"


@dataclass(slots=True)
class _Destination:
    running: int = 0
    waiting: deque[Deferred[None]] = field(default_factory=deque)
    failures: int = 0
    down_until: float = 0.0
    probing: bool = False
    reply: Reply = NO_DELIVERY

    def forget(self, turn: Deferred[None]) -> None:
        """It is cancelled; one that is being given already is not here any more."""
        if turn in self.waiting:
            self.waiting.remove(turn)

    @property
    def idle(self) -> bool:
        """True if nothing is known that must be remembered."""
        return not (self.running or self.waiting or self.failures)


class Destinations:
    """`times.per_destination` deliveries at once to each place; `seconds` is the reactor's clock.

    `at_once` are other numbers, by the agent's name. A pause is no longer than the retry
    schedule's waits: who configures short ones gets them.
    `freed()` is called when a place that had too many may be given more.
    """

    _log = Logger()

    def __init__(
        self,
        times: QueueTimes,
        seconds: Callable[[], float],
        freed: Callable[[], None],
        at_once: Mapping[str, int],
    ) -> None:
        self._limit = max(1, times.per_destination)
        self._at_once = {agent: max(1, limit) for agent, limit in at_once.items()}
        self._first_pause = min((FIRST_PAUSE, *times.waits[:1]))
        self._longest_pause = min(LONGEST_PAUSE, max(times.waits, default=LONGEST_PAUSE))
        self._freed = freed
        self._turned_away: set[Place] = set()  # where more waits than was let in
        self._seconds = seconds
        self._by_place: dict[Place, _Destination] = {}
        self._turns: deque[tuple[Place, Deferred[None]]] = deque()  # to be given now
        self._is_giving = False
        # The place that a domain's mail goes to, None where there are several.
        self._homes: OrderedDict[str, Place | None] = OrderedDict()

    def enter(self, parcel: Parcel) -> Entrance | Deferred[None]:
        """OPEN, or why not; a Deferred fires when it is this parcel's turn (then leave() too)."""
        found = self._by_place.get(parcel.place)
        if found is None:
            found = self._by_place[parcel.place] = _Destination()
        if found.failures >= DOWN_AFTER:
            if found.probing or self._seconds() < found.down_until:
                return Entrance.DOWN
            found.probing = True
        if found.running < self._at_once.get(parcel.agent, self._limit):
            found.running += 1
            return Entrance.OPEN
        if len(found.waiting) >= self._most_waiting:
            self._turned_away.add(parcel.place)
            return Entrance.BUSY
        turn: Deferred[None] = Deferred(found.forget)
        found.waiting.append(turn)
        return turn

    def leave(self, place: Place, outcomes: Sequence[Outcome] | None, remote: bool) -> None:
        """The delivery is done; None: it was cut off, which says nothing about the place."""
        found = self._by_place[place]
        found.probing = False
        if outcomes is not None and remote:
            self._judge(place, found, outcomes)
        if place in self._turned_away and len(found.waiting) <= self._limit // 2:
            self._turned_away.discard(place)
            self._freed()
        self._hand_on(place, found)

    def _hand_on(self, place: Place, found: _Destination) -> None:
        """A turn is over: the next parcel has it, if one waits."""
        if found.waiting:
            # `running` stays.
            self._turns.append((place, found.waiting.popleft()))
            self._give_turns()
            return
        found.running -= 1
        if found.idle:
            del self._by_place[place]

    def _give_turns(self) -> None:
        """One after the other, however many end at once: not each from within the last one's."""
        if self._is_giving:
            return
        self._is_giving = True
        try:
            while self._turns:
                place, turn = self._turns.popleft()
                if turn.called:  # cancelled meanwhile
                    self._hand_on(place, self._by_place[place])
                else:
                    turn.callback(None)
        finally:
            self._is_giving = False

    def _judge(self, place: Place, found: _Destination, outcomes: Sequence[Outcome]) -> None:
        failed = all(each.status is Status.DEFERRED and not each.remote for each in outcomes)
        if not failed:
            if found.failures >= DOWN_AFTER:
                self._log.info("{agent} to {host} works again", agent=place[0], host=place[1])
            found.failures = 0
            return
        if found.failures >= DOWN_AFTER and self._seconds() < found.down_until:
            return  # it began before the pause did, which counts once for all that were under way
        found.failures += 1
        if len(self._by_place) > MAX_DOMAINS:
            self._forget()
        found.reply = outcomes[0].reply
        if found.failures >= DOWN_AFTER:
            doublings = min(found.failures - DOWN_AFTER, 16)
            pause = min(self._first_pause * 2**doublings, self._longest_pause)
            found.down_until = self._seconds() + pause
            self._log.warn(
                "{agent} to {host} failed {failures} times in a row: left alone for {pause} s",
                agent=place[0],
                host=place[1],
                failures=found.failures,
                pause=pause,
            )

    def _forget(self) -> None:
        """Drop what is known of places where nothing happens now."""
        now = self._seconds()
        for place, found in list(self._by_place.items()):
            if not (found.running or found.waiting) and found.down_until <= now:
                del self._by_place[place]

    def is_down(self, place: Place) -> bool:
        """Whether it is left alone now; a probe under way does not count."""
        found = self._by_place.get(place)
        return (
            found is not None
            and found.failures >= DOWN_AFTER
            and self._seconds() < found.down_until
        )

    def reply(self, place: Place) -> Reply:
        """Why the place is left alone."""
        found = self._by_place.get(place)
        return found.reply if found else NO_DELIVERY

    def state(self) -> Iterator[dict[str, object]]:
        """For IInspected: a row a place, those that are left alone first.

        `down_for` is seconds until it is tried again, None while it works; `reply` its last
        failure's words.
        """
        now = self._seconds()
        places = sorted(self._by_place.items(), key=lambda each: (-each[1].failures, each[0]))
        for (agent, host), found in places:
            down = found.failures >= DOWN_AFTER
            yield {
                "agent": agent,
                "host": host,
                "running": found.running,
                "waiting": len(found.waiting),
                "failures": found.failures,
                "down_for": max(0.0, found.down_until - now) if down else None,
                "reply": str(found.reply) if found.failures else None,
            }

    def learn(self, domain: str, place: Place) -> None:
        """Mail for this domain was routed there."""
        known = self._homes.setdefault(domain, place)
        if known != place:
            # Some of it goes elsewhere: none of it is to wait for this place.
            self._homes[domain] = None
        self._homes.move_to_end(domain)
        if len(self._homes) > MAX_DOMAINS:
            self._homes.popitem(last=False)

    def is_home(self, domain: str, place: Place) -> bool:
        """Whether all mail for this domain goes there, as far as is known."""
        return self._homes.get(domain) == place

    def excluded(self) -> frozenset[str]:
        """Domains whose mail need not be claimed now: down, or busy with a queue of its own."""
        closed = set(self._closed())
        if not closed:
            return frozenset()
        return frozenset(domain for domain, home in self._homes.items() if home in closed)

    def _closed(self) -> Iterator[Place]:
        now = self._seconds()
        for place, found in self._by_place.items():
            down = found.failures >= DOWN_AFTER and (found.probing or now < found.down_until)
            full = len(found.waiting) >= self._most_waiting
            if full:
                self._turned_away.add(place)
            if full or down:
                yield place

    @property
    def _most_waiting(self) -> int:
        return max(self._limit, LEAST_WAITING)

    def next_up(self) -> float | None:
        """Seconds until the first place that is down may be tried again; None for none."""
        now = self._seconds()
        waits = [
            found.down_until - now
            for found in self._by_place.values()
            if found.failures >= DOWN_AFTER and not found.probing
        ]
        return max(0.0, min(waits)) if waits else None

    def forget_pauses(self) -> None:
        """Try every place again at once: an operator asks for it, or the clock went back."""
        for found in self._by_place.values():
            found.down_until = 0.0

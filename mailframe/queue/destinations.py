"""Limits the deliveries to one place at once, and pauses places that fail.

If connections to a place keep failing, it is marked down for a growing time; then one message
tries it. If a place refuses a session while it has others of ours, it gets fewer of them.

Mail for a slow, busy or dead place does not take the window from other mail. A place holds no more
of the window than it leaves free, and an agent leaves the others their part (`shares`). If a place
holds as much as it may, the domains whose mail goes there are left out of claims for the time.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ..message import Outcome
from ..settings import QueueTimes
from ..smtp.reply import NO_DELIVERY, Reply
from .health import Heard, heard
from .parcels import Parcel, Place
from .shares import Shares

DOWN_AFTER = 3  # failures in a row
FIRST_PAUSE = 30.0  # seconds at most; doubled by every further failure
LONGEST_PAUSE = 900.0  # seconds at most
PROBE_ALONE = 60.0  # seconds in which only one message tries a place that was down
LEAST_WAITING = 50  # parcels that may wait for any place within the window
MAX_DOMAINS = 10_000  # that are remembered with the place their mail goes to


class Entrance(Enum):
    """The answer to a parcel that wants to be delivered to a place."""

    OPEN = "go ahead, and leave() afterwards"
    BUSY = "too many wait already"
    DOWN = "it is left alone for now"


#: Fires with OPEN when it is the parcel's turn, or BUSY if it must not wait within the window.
Turn = Deferred[Entrance]


@dataclass(slots=True)
class _Destination:
    running: int = 0
    waiting: dict[Turn, str] = field(default_factory=dict)  # with the message's id, oldest first
    failures: int = 0
    down_until: float = 0.0
    probing_until: float = 0.0  # a probe is running, and nothing else is tried until then
    most: float = float("inf")  # sessions that the place was seen to take at once
    reply: Reply = NO_DELIVERY

    @property
    def used(self) -> int:
        """How many parcels are being delivered or wait."""
        return self.running + len(self.waiting)

    @property
    def idle(self) -> bool:
        """True if there is nothing to remember."""
        return not (self.running or self.waiting or self.failures)

    def rests(self, now: float) -> bool:
        """True if nothing more may be tried there now."""
        return self.failures >= DOWN_AFTER and now < max(self.down_until, self.probing_until)


class Destinations:
    """Allows `times.per_destination` deliveries at once to each place.

    `seconds` is the reactor's clock. `at_once` has an entry for every agent: another limit for each
    of its places, or None. A pause is never longer than the waits of the retry schedule, so short
    waits give short pauses. `freed()` is called when a place or an agent that held as much as it
    may can be given more.
    """

    _log = Logger()

    def __init__(
        self,
        times: QueueTimes,
        seconds: Callable[[], float],
        freed: Callable[[], None],
        at_once: Mapping[str, int | None],
    ) -> None:
        self._limit = max(1, times.per_destination)
        self._at_once = {agent: max(1, limit) for agent, limit in at_once.items() if limit}
        self._first_pause = min((FIRST_PAUSE, *times.waits[:1]))
        self._longest_pause = min(LONGEST_PAUSE, max(times.waits, default=LONGEST_PAUSE))
        self._freed = freed
        self._shares = Shares(times.active, at_once)
        self._spare = max(1, times.active // 16)  # slots that a full agent must have again
        self._turned_away: set[Place] = set()  # places for which parcels were turned away
        self._full: set[str] = set()  # agents that hold as much as they may
        self._seconds = seconds
        self._by_place: dict[Place, _Destination] = {}
        self._waiting: Counter[str] = Counter()  # parcels that wait, by agent
        # Turns to give now. If BUSY, the message has already been taken off its agent's share.
        self._turns: deque[tuple[Place, Turn, Entrance, str]] = deque()
        self._is_giving = False
        # The place that a domain's mail goes to, None if there are several.
        self._homes: OrderedDict[str, Place | None] = OrderedDict()

    def enter(self, parcel: Parcel, message: str) -> Entrance | Turn:
        """OPEN, or why not, or a Turn that fires with either. After OPEN, leave() must be called.

        `message` is the id of the parcel's message.
        """
        place, agent, shares = parcel.place, parcel.agent, self._shares
        found = self._by_place.get(place)
        if found is None:
            found = _Destination()
        elif found.failures >= DOWN_AFTER and found.rests(self._seconds()):
            return Entrance.DOWN
        free = shares.free(agent)
        if free < self._spare and self._waiting[agent]:
            self._end_waiting(agent)
            free = shares.free(agent)
        if free <= 0 and not shares.holds(agent, message):
            self._full.add(agent)
            return Entrance.BUSY
        if found.used and self._is_enough(place, found, free):
            self._turned_away.add(place)
            return Entrance.BUSY
        self._by_place[place] = found
        shares.enter(agent, message)
        if found.failures >= DOWN_AFTER:
            found.probing_until = self._seconds() + PROBE_ALONE
        if found.running < self._most(place, found):
            found.running += 1
            return Entrance.OPEN
        turn: Turn = Deferred(partial(self._forget_turn, parcel))
        found.waiting[turn] = message
        self._waiting[agent] += 1
        return turn

    def _end_waiting(self, agent: str) -> None:
        """Turn away waiting parcels until the agent has enough of the window free.

        Takes the last ones of the longest lines first. They stay due, and are claimed again.
        """
        lines = [(p, f) for p, f in self._by_place.items() if f.waiting and p[0] == agent]
        for place, found in sorted(lines, key=lambda line: -len(line[1].waiting)):
            self._turned_away.add(place)
            while found.waiting and self._shares.free(agent) < 2 * self._spare:
                turn, message = found.waiting.popitem()
                self._waits_no_more(agent, message)
                self._turns.append((place, turn, Entrance.BUSY, message))
            if self._shares.free(agent) >= 2 * self._spare:
                break
        self._give_turns()

    def _is_enough(self, place: Place, found: _Destination, free: int) -> bool:
        """True if the place holds as much of the window as it may.

        It may hold as much as it leaves free for its agent. So there is room for one more place,
        however many slow places there are.
        """
        if found.running >= self._most(place, found) and (len(found.waiting) >= self._most_waiting):
            return True
        return found.used >= free and place[0] not in self._at_once

    def _most(self, place: Place, found: _Destination) -> int:
        """How many deliveries may run there."""
        most = self._at_once.get(place[0], self._limit)
        return most if found.most >= most else int(found.most)

    def _forget_turn(self, parcel: Parcel, turn: Turn) -> None:
        """A Turn was cancelled. If it is just being given, it no longer counts as waiting."""
        found = self._by_place.get(parcel.place)
        if found is not None and turn in found.waiting:
            self._waits_no_more(parcel.agent, found.waiting.pop(turn))

    def _waits_no_more(self, agent: str, message: str) -> None:
        self._waiting[agent] -= 1
        self._shares.leave(agent, message)

    def leave(self, parcel: Parcel, message: str, outcomes: Sequence[Outcome] | None) -> bool:
        """The delivery has ended. `outcomes` None means that it was cut off by us.

        True if the place takes no more sessions than those that we have there: then the parcel can
        wait for one of them instead of being deferred.
        """
        place = parcel.place
        found = self._by_place[place]
        found.probing_until = 0.0
        self._shares.leave(parcel.agent, message)
        crowded = False
        if outcomes is not None and parcel.remote:
            crowded = self._judge(place, found, outcomes)
        found.running -= 1
        self._hand_on(place, found)
        if self._turned_away or self._full:
            self._reopen(place, found)
        return crowded

    def _reopen(self, place: Place, found: _Destination) -> None:
        """Let more be claimed once there is room for several, not for each one that leaves."""
        free, freed = self._shares.free(place[0]), False
        if place[0] in self._full and free >= self._spare:
            self._full.discard(place[0])
            freed = True
        if (
            place in self._turned_away
            and len(found.waiting) <= self._limit // 2
            and (place[0] in self._at_once or found.used * 4 <= free * 3)
        ):
            self._turned_away.discard(place)
            freed = True
        if freed:
            self._freed()

    def _hand_on(self, place: Place, found: _Destination) -> None:
        """Give a turn that is over to the next waiting parcels, if there are any."""
        while found.waiting and found.running < self._most(place, found):
            found.running += 1
            turn = next(iter(found.waiting))
            self._waiting[place[0]] -= 1
            self._turns.append((place, turn, Entrance.OPEN, found.waiting.pop(turn)))
        if self._turns:
            self._give_turns()
        if found.idle:
            self._by_place.pop(place, None)

    def _give_turns(self) -> None:
        """Give the turns in a loop, so that many ends at once do not recurse."""
        if self._is_giving:
            return
        self._is_giving = True
        try:
            while self._turns:
                place, turn, entrance, message = self._turns.popleft()
                if not turn.called:
                    turn.callback(entrance)
                elif entrance is Entrance.OPEN:  # cancelled meanwhile
                    found = self._by_place[place]
                    found.running -= 1
                    self._shares.leave(place[0], message)
                    self._hand_on(place, found)
        finally:
            self._is_giving = False

    def _judge(self, place: Place, found: _Destination, outcomes: Sequence[Outcome]) -> bool:
        """Note the outcomes. True if the place takes no more sessions of ours, see `leave`."""
        said = heard(outcomes)
        if said is Heard.WELL:
            if found.failures >= DOWN_AFTER:
                self._log.info("{agent} to {host} works again", agent=place[0], host=place[1])
            found.failures = 0
            # Grows by one once all sessions have worked once, as in Postfix.
            if found.most < self._limit:
                found.most += 1 / found.most
            return False
        if said is Heard.NO_SESSION and found.running > 1:
            found.most = max(1.0, min(found.most, found.running - 1))
            return True
        self._count(place, found, outcomes[0].reply)
        return False

    def _count(self, place: Place, found: _Destination, reply: Reply) -> None:
        """Count one more failure of this place."""
        if found.failures >= DOWN_AFTER and self._seconds() < found.down_until:
            return  # it began before the pause, which counts once for all that were running then
        found.failures += 1
        if len(self._by_place) > MAX_DOMAINS:
            self._forget()
        found.reply = reply
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
        """Drop the state of places where nothing is running, waiting or paused."""
        now = self._seconds()
        for place, found in list(self._by_place.items()):
            if not (found.running or found.waiting) and found.down_until <= now:
                del self._by_place[place]

    def is_down(self, place: Place) -> bool:
        """True if the place is paused now. A running probe does not count as a pause."""
        found = self._by_place.get(place)
        return (
            found is not None
            and found.failures >= DOWN_AFTER
            and self._seconds() < found.down_until
        )

    def reply(self, place: Place) -> Reply:
        """Why the place is paused."""
        found = self._by_place.get(place)
        return found.reply if found else NO_DELIVERY

    def state(self) -> Iterator[dict[str, object]]:
        """For IInspected: one row for each place, with the paused ones first.

        `down_for` is the number of seconds until it is tried again, None while it works. `reply` is
        the reply of its last failure.
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
        """Note that mail for this domain was routed to this place."""
        known = self._homes.setdefault(domain, place)
        if known != place:
            # Some of its mail goes elsewhere, so none of it may wait for this place.
            self._homes[domain] = None
        self._homes.move_to_end(domain)
        if len(self._homes) > MAX_DOMAINS:
            self._homes.popitem(last=False)

    def is_home(self, domain: str, place: Place) -> bool:
        """True if all known mail for this domain goes to this place.

        False if there are so many domains that some are forgotten: claims could not leave all of
        them out.
        """
        return len(self._homes) < MAX_DOMAINS and self._homes.get(domain) == place

    def excluded(self) -> frozenset[str]:
        """Domains whose mail need not be claimed now: their place is down, or busy."""
        closed, full = set(self._closed()), self._full
        if not (closed or full):
            return frozenset()
        return frozenset(
            domain
            for domain, home in self._homes.items()
            if home is not None and (home in closed or home[0] in full)
        )

    def _closed(self) -> Iterator[Place]:
        now = self._seconds()
        for place, found in self._by_place.items():
            if len(found.waiting) >= self._most_waiting:
                self._turned_away.add(place)
            if place in self._turned_away or found.rests(now):
                yield place

    @property
    def _most_waiting(self) -> int:
        return max(self._limit, LEAST_WAITING)

    def next_up(self) -> float | None:
        """Seconds until the first place that is down may be tried again; None if none is down."""
        now = self._seconds()
        waits = [
            max(found.down_until, found.probing_until) - now
            for found in self._by_place.values()
            if found.failures >= DOWN_AFTER
        ]
        return max(0.0, min(waits)) if waits else None

    def forget_pauses(self, domains: Collection[str] | None = None) -> None:
        """End the pauses of the places of these domains, or of all places.

        Called if an operator asks for it, or if the clock went back.
        """
        homes = {self._homes[domain] for domain in domains or () if domain in self._homes}
        # If a domain's mail goes to several places, it is not known to which.
        every = domains is None or None in homes
        for place, found in self._by_place.items():
            if every or place in homes:
                found.down_until = 0.0

    def failing(self, domains: Collection[str]) -> dict[str, str]:
        """Those of these domains whose mail goes to a place that failed last; its last words."""
        homes = {domain: self._homes.get(domain) for domain in domains}
        found = {each: self._by_place.get(place) for each, place in homes.items() if place}
        return {
            domain: f"{' to '.join(homes[domain] or ())}: {each.reply}"
            for domain, each in found.items()
            if each is not None and each.failures >= DOWN_AFTER
        }

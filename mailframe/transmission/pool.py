"""A connection pool, which limits the connections to each target and reuses idle ones."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ..message import NextHop
from ..smtp.reply import Reply
from .connection import ServerConnection
from .exchanges import Target
from .opener import Opener, Unreachable, Unusable

_REMEMBERED = 1000  # next hops, and targets that are down

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class _Place:
    """One target: its number of busy connections, its idle ones, and who waits for one."""

    busy: int = 0
    idle: list[ServerConnection] = field(default_factory=list)
    waiting: deque[Deferred[ServerConnection | None]] = field(default_factory=deque)


class Pool:
    """Lends connections: call `take`, and always `give_back` after it.

    One target has at most `connections` connections at once; others wait their turn. A connection
    that is given back stays idle for up to `idle` seconds, and is closed after `messages`
    transactions. A target that could not be reached is not dialled again for `back_off` seconds.
    """

    def __init__(
        self,
        opener: Opener,
        reactor: IReactorTime,
        *,
        connections: int = 20,
        idle: float = 10.0,
        messages: int = 100,
        back_off: float = 20.0,
    ) -> None:
        self._opener = opener
        self._reactor = reactor
        self._connections = connections
        self._idle = idle
        self._messages = messages
        self._back_off = back_off
        self._places: dict[Target, _Place] = {}
        self._open: set[ServerConnection] = set()
        self._used_for: OrderedDict[NextHop, Target] = OrderedDict()
        self._down: OrderedDict[Target, tuple[float, Reply]] = OrderedDict()
        self._turns: deque[
            tuple[Target, _Place, Deferred[ServerConnection | None], ServerConnection | None]
        ]
        self._turns = deque()
        self._is_giving = False
        self._closing = False
        self._resting: OrderedDict[ServerConnection, float] = (
            OrderedDict()
        )  # until when, oldest first
        self._look: IDelayedCall | None = None  # when the oldest is to be closed

    def state(self) -> Iterator[dict[str, object]]:
        """For IInspected: one row for each target: `busy` and `idle` connections, and who waits.

        Then one for each target that could not be reached: `down_for` seconds, with the `reply`.
        """
        for target, place in self._places.items():
            row = {"busy": place.busy, "idle": len(place.idle), "waiting": len(place.waiting)}
            yield {"target": str(target), **row}
        now = self._reactor.seconds()
        for target, (until, reply) in self._down.items():
            if until > now:
                yield {"target": str(target), "down_for": until - now, "reply": str(reply)}

    def forget_pauses(self) -> None:
        """Allow targets that could not be reached to be dialled again at the next `take`."""
        self._down.clear()

    def resting(self, hop: NextHop) -> Target | None:
        """The target of an idle connection that has served this next hop before."""
        target = self._used_for.get(hop)
        place = None if target is None else self._places.get(target)
        return target if place is not None and place.idle else None

    async def take(
        self, target: Target, hop: NextHop, *, fresh: bool = False
    ) -> tuple[ServerConnection, bool]:
        """A connection that is ready for mail, and True if it was used before.

        `fresh` asks for a new one. Raises Unusable.
        """
        place = self._places.get(target)
        if place is None:
            place = self._places[target] = _Place()
        if place.idle and not fresh:
            connection = place.idle.pop()
            del self._resting[connection]
            place.busy += 1
            return connection, True
        if place.busy < self._connections:
            place.busy += 1
        else:
            # Whoever gives a connection back passes the turn on, with the connection if it is good.
            handed = await self._turn(place)
            if handed is not None and not fresh:
                return handed, True
            if handed is not None:
                handed.leave()
        try:
            return await self._opened(target, hop), False
        except BaseException:
            self._next(target, place, None)
            raise

    def give_back(self, target: Target, hop: NextHop, connection: ServerConnection) -> None:
        """Return a connection that is not in use any more, even if it has ended."""
        place = self._places[target]
        most = connection.dialogue.extensions.limit("MAILMAX") or self._messages
        if self._closing or connection.transactions >= min(most, self._messages):
            connection.leave()
        if connection.ended is not None:
            self._next(target, place, None)
            return
        if self._used_for.get(hop) is not target:
            _remember(self._used_for, hop, target)
        self._next(target, place, connection)

    def close(self) -> Deferred[None]:
        """Close all idle connections; fires when every connection is closed."""
        self._closing = True
        if self._look is not None:
            self._look.cancel()
            self._look = None
        for connection in list(self._resting):
            connection.leave()
        gone = [_when_closed(connection) for connection in self._open]
        all_gone: Deferred[None] = gatherResults(gone).addCallback(lambda _: None)
        return all_gone

    def abort(self) -> None:
        """End all connections at once, whatever they are doing."""
        self._closing = True
        for connection in list(self._open):
            connection.drop()

    def _turn(self, place: _Place) -> Deferred[ServerConnection | None]:
        def not_any_more(waiting: Deferred[ServerConnection | None]) -> None:
            if waiting in place.waiting:
                place.waiting.remove(waiting)

        waiting: Deferred[ServerConnection | None] = Deferred(not_any_more)
        place.waiting.append(waiting)
        return waiting

    def _next(self, target: Target, place: _Place, connection: ServerConnection | None) -> None:
        """Pass a turn on to the next one waiting, with the connection, or make that idle."""
        if place.waiting:
            self._turns.append((target, place, place.waiting.popleft(), connection))
            self._give_turns()
            return
        place.busy -= 1
        if connection is not None and connection.ended is None:
            place.idle.append(connection)
            self._resting[connection] = self._reactor.seconds() + self._idle
            if self._look is None:
                self._look = self._reactor.callLater(self._idle, self._look_at_resting)
        elif not place.busy and not place.idle:
            self._places.pop(target, None)

    def _look_at_resting(self) -> None:
        """Set one timer for all, because connections become idle and are taken very often."""
        self._look = None
        now = self._reactor.seconds()
        for connection, until in list(self._resting.items()):
            if until > now:
                self._look = self._reactor.callLater(until - now, self._look_at_resting)
                return
            connection.leave()

    def _give_turns(self) -> None:
        """Give the turns in a loop, so that many failures at once do not recurse."""
        if self._is_giving:
            return
        self._is_giving = True
        try:
            while self._turns:
                target, place, waiting, connection = self._turns.popleft()
                if waiting.called:
                    self._next(target, place, connection)  # nobody wants it any more
                else:
                    waiting.callback(connection)
        finally:
            self._is_giving = False

    async def _opened(self, target: Target, hop: NextHop) -> ServerConnection:
        until, reply = self._down.get(target, (0.0, None))
        if reply is not None and self._reactor.seconds() < until:
            raise Unusable(reply)
        try:
            connection = await self._opener.open(target, is_stranger=hop.lookup == "mx")
        except Unreachable as failed:
            until = self._reactor.seconds() + self._back_off
            _remember(self._down, target, (until, failed.reply))
            raise
        self._down.pop(target, None)
        self._open.add(connection)
        connection.on_end = self._ended(target)
        connection.closed.addCallback(lambda _: self._open.discard(connection))
        return connection

    def _ended(self, target: Target) -> Callable[[ServerConnection], None]:
        def ended(connection: ServerConnection) -> None:
            rested = self._resting.pop(connection, None) is not None
            place = self._places.get(target)
            if place is None:
                return
            if rested:
                place.idle.remove(connection)
            if not place.busy and not place.idle and not place.waiting:
                del self._places[target]

        return ended


def _remember(memory: OrderedDict[K, V], key: K, value: V) -> None:
    """Remember the value, and drop the oldest if there are too many."""
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)


def _when_closed(connection: ServerConnection) -> Deferred[None]:
    waiting: Deferred[None] = Deferred()
    connection.closed.addCallback(lambda _: waiting.callback(None))
    return waiting

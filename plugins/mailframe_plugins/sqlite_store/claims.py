"""Finds the messages that are due by their index, without passing over the same ones each time.

Messages that are leased, or wait for an excluded domain, stay at the head of the index. The place
after them is remembered for the last few sets of excluded domains. So a million of them are passed
over once, not at every claim. If a message before such a place becomes free, the place moves back.
"""

from __future__ import annotations

import heapq
import json
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

from .leases import Leases

_START = (float("-inf"), -1)
_LAST_KEY = (1 << 63) - 1
_PLACES = 4  # that are remembered

_DUE = (
    "SELECT due, key, domain FROM message INDEXED BY due "
    "WHERE hold = 0 AND due <= ? AND (due, key) > (?, ?) {others}ORDER BY due, key"
)
_ALL = _DUE.format(others="")
# SQLite passes over them many times faster than Python code could.
_OTHERS = _DUE.format(others="AND domain NOT IN (SELECT value FROM json_each(?)) ")


@dataclass(slots=True)
class _Place:
    passed: tuple[float, int] = _START  # nothing up to here can be claimed
    # Messages with several domains: (when another recipient is due, due, key).
    again: list[tuple[float, float, int]] = field(default_factory=list)

    def freed(self, due: float, key: int) -> None:
        if (due, key) <= self.passed:
            self.passed = (due, key - 1)


class Claims:
    """The places in the index of due messages; used by the writing thread only."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self.restart()

    def restart(self) -> None:
        """Begin at the head again, because what is remembered may be wrong now."""
        self._places: OrderedDict[frozenset[str], _Place] = OrderedDict()

    def freed(self, due: float, key: int) -> None:
        """It may be possible now to claim this message."""
        for place in self._places.values():
            place.freed(due, key)

    def due(
        self,
        connection: sqlite3.Connection,
        now: float,
        excluding: frozenset[str],
        excluded: Callable[[int], float | None],
    ) -> Iterator[tuple[float, int]]:
        """(due, key) of messages that can be claimed, most overdue first; the caller leases each of
        them.

        `excluded(key)` decides about a message with several domains: None if it is not excluded,
        else the time when its next recipient is due.
        """
        for lease in self._leases.ended(now):
            self.freed(lease.due, lease.key)
        place = self._place(excluding)
        while place.again and place.again[0][0] <= now:
            place.freed(*heapq.heappop(place.again)[1:])
        leased = self._leases.keys()
        values: tuple[object, ...] = (now, *place.passed)
        if excluding:
            values = (*values, json.dumps(list(excluding)))
        with closing(connection.execute(_OTHERS if excluding else _ALL, values)) as index:
            for due, key, domain in index:
                if key not in leased:
                    again = None if domain or not excluding else excluded(key)
                    if again is None:
                        place.passed = (due, key - 1)  # the caller may want no more
                        yield due, key
                    else:
                        heapq.heappush(place.again, (again, due, key))
                place.passed = (due, key)
        place.passed = max(place.passed, (now, _LAST_KEY))

    def _place(self, excluding: frozenset[str]) -> _Place:
        """Where to go on.

        Messages passed over with fewer exclusions need not be looked at either.
        """
        place = self._places.get(excluding)
        if place is None:
            fewer = [known for others, known in self._places.items() if others <= excluding]
            best = max(fewer, key=lambda known: known.passed, default=_Place())
            place = self._places[excluding] = _Place(best.passed, list(best.again))
            if len(self._places) > _PLACES:
                self._places.popitem(last=False)
        self._places.move_to_end(excluding)
        return place

    def next_due(self, connection: sqlite3.Connection) -> float | None:
        """The time when something is due next, or a lease runs out; never later than that."""
        leased = self._leases.keys()
        with closing(connection.execute(_ALL, (float("inf"), *_START))) as index:
            first = next((due for due, key, _ in index if key not in leased), float("inf"))
        earliest = min(first, self._leases.first_end() or float("inf"))
        return None if earliest == float("inf") else earliest

"""Which messages are next: by the index of the due, without going over the same ones again.

Messages that are leased, or wait for an excluded domain, stay at the head of the index. The
place behind them is remembered, so that fifty thousand of them are passed over once and not
at every claim; whatever becomes free before that place moves it back.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing

from .leases import Leases

_START = (float("-inf"), -1)

_DUE = (
    "SELECT due, key, domain FROM message INDEXED BY due "
    "WHERE hold = 0 AND due <= ? AND (due, key) > (?, ?) ORDER BY due, key"
)


class Claims:
    """The place in the index of the due; used by the writing thread alone."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self._excluding: frozenset[str] = frozenset()
        self.restart()

    def restart(self) -> None:
        """Begin at the head again: what was found out may not hold any more."""
        self._passed: tuple[float, int] = _START  # nothing up to here can be claimed
        self._excluded_due = float("inf")  # the earliest of those that were excluded
        # Of those with several domains: (when another recipient is due, due, key).
        self._again: list[tuple[float, float, int]] = []

    def freed(self, due: float, key: int) -> None:
        """This message may be claimable now."""
        if (due, key) <= self._passed:
            self._passed = (due, key - 1)

    def due(
        self,
        connection: sqlite3.Connection,
        now: float,
        excluding: frozenset[str],
        excluded: Callable[[int], float | None],
    ) -> Iterator[tuple[float, int]]:
        """(due, key) of what can be claimed, most overdue first; each given is to be leased.

        `excluded(key)` decides about a message with several domains: None where it is not,
        else when its next recipient is due.
        """
        for lease in self._leases.ended(now):
            self.freed(lease.due, lease.key)
        if not excluding >= self._excluding:
            self.restart()
        self._excluding = excluding
        while self._again and self._again[0][0] <= now:
            self.freed(*heapq.heappop(self._again)[1:])
        leased = self._leases.keys()
        with closing(connection.execute(_DUE, (now, *self._passed))) as index:
            for due, key, domain in index:
                if key in leased:
                    pass
                elif not excluding or (domain and domain not in excluding):
                    yield due, key
                elif domain:
                    self._excluded_due = min(self._excluded_due, due)
                elif (again := excluded(key)) is None:
                    yield due, key
                else:
                    self._excluded_due = min(self._excluded_due, due)
                    heapq.heappush(self._again, (again, due, key))
                self._passed = (due, key)

    def next_due(self, connection: sqlite3.Connection) -> float | None:
        """When something is due next, or a lease runs out; never later than that."""
        leased = self._leases.keys()
        times = [self._excluded_due, self._leases.first_end() or float("inf")]
        with closing(connection.execute(_DUE, (float("inf"), *self._passed))) as index:
            times += [next((due for due, key, _ in index if key not in leased), float("inf"))]
        earliest = min(times)
        return None if earliest == float("inf") else earliest

"""The leases, in memory: one process holds the store, and its leases end with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_OVER = float("-inf")  # in place of the end of a lease that is over


class Lease(NamedTuple):
    """The end of a lease, and what a removal needs to know.

    `retry` is the time at which a retry was asked for while it was leased.
    """

    until: float
    key: int
    due: float
    file: bool
    retry: float | None = None


class Leases:
    """Leases by message id.

    Used by the writing thread only. `undo` takes back all since `begin`.
    """

    def __init__(self) -> None:
        self._held: dict[str, Lease] = {}
        self._before: list[tuple[str, Lease | None]] = []
        self._earliest = float("inf")  # no later than the first end

    def __contains__(self, id: str) -> bool:
        lease = self._held.get(id)
        return lease is not None and lease.until != _OVER

    def __len__(self) -> int:
        return sum(1 for _ in self._current())

    def get(self, id: str) -> Lease | None:
        """The lease of this message; None if there is none.

        A lease that is over stays until somebody claims the message, so its owner may still finish.
        """
        return self._held.get(id)

    def keys(self) -> set[int]:
        """The keys of all leased messages."""
        return {lease.key for lease in self._current()}

    def _current(self) -> Iterator[Lease]:
        return (lease for lease in self._held.values() if lease.until != _OVER)

    def put(self, id: str, lease: Lease) -> None:
        """Lease it, or change its lease."""
        self._before.append((id, self._held.get(id)))
        self._held[id] = lease
        self._earliest = min(self._earliest, lease.until)

    def drop(self, id: str) -> Lease | None:
        """Remove the lease; returns what it was."""
        lease = self._held.pop(id, None)
        if lease is not None:
            self._before.append((id, lease))
        return lease

    def ended(self, now: float) -> list[Lease]:
        """The leases that have ended by now and were not returned before."""
        if now < self._earliest:
            return []
        over = [(id, lease) for id, lease in self._held.items() if _OVER < lease.until <= now]
        for id, lease in over:
            self._before.append((id, lease))
            self._held[id] = lease._replace(until=_OVER, retry=None)
        self._earliest = self.first_end() or float("inf")
        return [lease for _, lease in over]

    def first_end(self) -> float | None:
        """The time when the first of them ends; None if there is none."""
        return min((lease.until for lease in self._current()), default=None)

    def begin(self) -> None:
        """Changes from now on can be taken back."""
        self._before.clear()

    def undo(self) -> None:
        """Go back to the state at `begin`."""
        for id, lease in reversed(self._before):
            if lease is None:
                self._held.pop(id, None)
            else:
                self._held[id] = lease
                self._earliest = min(self._earliest, lease.until)
        self._before.clear()

"""Who is worked on. Kept in memory: one process holds the store, and its leases end with it."""

from __future__ import annotations

from typing import NamedTuple


class Lease(NamedTuple):
    """Until when, and what a removal needs to know. `retry`: asked for meanwhile, due then."""

    until: float
    key: int
    due: float
    file: bool
    retry: float | None = None


class Leases:
    """By message id; used by the writing thread alone. `undo` takes back all since `begin`."""

    def __init__(self) -> None:
        self._held: dict[str, Lease] = {}
        self._before: list[tuple[str, Lease | None]] = []
        self._earliest = float("inf")  # not later than the first end

    def __contains__(self, id: str) -> bool:
        return id in self._held

    def __len__(self) -> int:
        return len(self._held)

    def get(self, id: str) -> Lease | None:
        """The lease of this message, None where nobody works on it."""
        return self._held.get(id)

    def keys(self) -> set[int]:
        """The keys of all that are leased."""
        return {lease.key for lease in self._held.values()}

    def put(self, id: str, lease: Lease) -> None:
        """Lease it, or change its lease."""
        self._before.append((id, self._held.get(id)))
        self._held[id] = lease
        self._earliest = min(self._earliest, lease.until)

    def drop(self, id: str) -> Lease | None:
        """End the lease; what it was."""
        lease = self._held.pop(id, None)
        if lease is not None:
            self._before.append((id, lease))
        return lease

    def ended(self, now: float) -> list[Lease]:
        """Drop those that have run out, and give them."""
        if now < self._earliest:
            return []
        over = [(id, lease) for id, lease in self._held.items() if lease.until <= now]
        for id, _ in over:
            self.drop(id)
        self._earliest = min((lease.until for lease in self._held.values()), default=float("inf"))
        return [lease for _, lease in over]

    def first_end(self) -> float | None:
        """When the first of them runs out, None where there is none."""
        return min((lease.until for lease in self._held.values()), default=None)

    def begin(self) -> None:
        """What comes now can be taken back."""
        self._before.clear()

    def undo(self) -> None:
        """As it was at `begin`."""
        for id, lease in reversed(self._before):
            if lease is None:
                self._held.pop(id, None)
            else:
                self._held[id] = lease
                self._earliest = min(self._earliest, lease.until)
        self._before.clear()

"""Handles a wall clock that goes back, after which deferred mail would wait too long."""

from __future__ import annotations

from collections.abc import Callable

from ..eventual import settled
from ..interfaces import IQueueStore

BACK = 60.0  # seconds; smaller steps are ignored
_PAGE = 200


class WallClock:
    """Notices steps back. `now()` is in seconds since the epoch."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._latest = now()

    def went_back(self) -> float:
        """By how many seconds the clock went back since the last call; 0 for BACK or less."""
        now, latest = self._now(), self._latest
        self._latest = now
        return latest - now if latest - now > BACK else 0.0


async def pull_back(store: IQueueStore, now: float, longest: float) -> int:
    """Make messages due that would wait longer than `longest`. Returns how many there were."""
    pulled = 0
    latest = now + longest + BACK
    for hold in (False, True):
        after = ""
        while page := await settled(store.find(after, _PAGE, hold=hold, due_after=latest)):
            after = page[-1].id
            changed = await settled(store.change([entry.id for entry in page], "retry", now))
            pulled += len(changed)
    return pulled

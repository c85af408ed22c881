"""What to do when the wall clock goes back: mail that was deferred before would wait too long."""

from __future__ import annotations

from collections.abc import Callable

from ..eventual import settled
from ..interfaces import IQueueStore

BACK = 60.0  # seconds: smaller steps are left alone
_PAGE = 200


class WallClock:
    """Notices steps back; `now()` is seconds since the epoch."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._latest = now()

    def went_back(self) -> float:
        """By how many seconds since it was asked the last time; 0 for BACK or less."""
        now, latest = self._now(), self._latest
        self._latest = now
        return latest - now if latest - now > BACK else 0.0


async def pull_back(store: IQueueStore, now: float, longest: float) -> int:
    """Make due what would wait longer than the longest wait; how many messages that were."""
    pulled = 0
    latest = now + longest + BACK
    for hold in (False, True):
        after = ""
        while page := await settled(store.find(after, _PAGE, hold=hold, due_after=latest)):
            after = page[-1].id
            changed = await settled(store.change([entry.id for entry in page], "retry", now))
            pulled += len(changed)
    return pulled

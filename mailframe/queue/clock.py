"""What to do when the wall clock goes back: mail that was deferred before would wait too long."""

from __future__ import annotations

from ..eventual import settled
from ..interfaces import IQueueStore

BACK = 60.0  # seconds: smaller steps are left alone
_PAGE = 200


async def pull_back(store: IQueueStore, now: float, longest: float) -> int:
    """Make due what would wait longer than the longest wait; how many messages that were."""
    pulled, after = 0, ""
    while page := await settled(store.find(after=after, limit=_PAGE)):
        after = page[-1].id
        late = [
            entry.id
            for entry in page
            if min(pending.due for pending in entry.pending) > now + longest + BACK
        ]
        if late:
            changed = await settled(store.change(late, "retry", now))
            pulled += len(changed)
    return pulled

"""What to do when the wall clock goes back: mail that was deferred before would wait too long."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from ..eventual import Eventual, at_once
from ..interfaces import IQueueStore

BACK = 60.0  # seconds: smaller steps are left alone
_PAGE = 200


async def pull_back(store: IQueueStore, now: float, longest: float) -> int:
    """Make due what would wait longer than the longest wait; how many messages that were."""
    pulled, after = 0, ""
    while page := await _soon(store.find(after=after, limit=_PAGE)):
        after = page[-1].id
        late = [
            entry.id
            for entry in page
            if min(pending.due for pending in entry.pending) > now + longest + BACK
        ]
        if late:
            pulled += len(await _soon(store.change(late, "retry", now)))
    return pulled


async def _soon(eventual: Eventual[Any]) -> Any:
    value = at_once(eventual)
    return await value if isinstance(value, Deferred) else value

"""Which host answers: `ping`."""

from __future__ import annotations

import os

from ....interfaces import IShardedStore
from ..question import Question, Rows
from ..subject import Subject


async def _ping(control: Subject) -> Rows:
    yield {
        "hostname": control.hostname,
        "pid": os.getpid(),
        "workers": control.workers,
        "sharded": IShardedStore.providedBy(control.store),
    }


#: One row: hostname, pid, workers, and whether each worker has its own part of the queue
#: (`sharded`).
PING = Question("ping", _ping)

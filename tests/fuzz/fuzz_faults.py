"""What a round logs that it should not: failures, and Deferreds that failed unseen."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twisted.logger import LogLevel, formatEvent, globalLogPublisher


@contextmanager
def heard_faults(*allowed: str) -> Iterator[list[str]]:
    """Collects what is logged as critical; not if one of the `allowed` is in its words."""
    faults: list[str] = []

    def observe(event: Any) -> None:
        if event.get("log_level") is LogLevel.critical:
            failure = event.get("log_failure")
            words = formatEvent(event)
            trace = "" if failure is None else f"\n{failure.getTraceback()}"
            if not any(each in words + trace for each in allowed):
                faults.append(words + trace)

    globalLogPublisher.addObserver(observe)
    try:
        yield faults
        if faults:
            gc.collect()
    finally:
        globalLogPublisher.removeObserver(observe)

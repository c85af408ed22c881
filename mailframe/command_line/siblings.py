"""Asking the workers of one host as if they were one.

Each has a part of the queue, or all share one: then whoever is asked knows all of it.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ..host.control import Row


class Session(Protocol):
    """Somebody who answers the questions of `mailframe.host.control`."""

    def ask(self, question: str, **fields: Any) -> Iterator[Row]:
        """The rows of the answer, as they come. Raises Wrong."""


class Siblings:
    """All workers of a running host; `sharded` says that each has a part of the queue."""

    def __init__(self, workers: Sequence[Session], sharded: bool = True) -> None:
        self._workers = workers
        self._sharded = sharded
        self._together: dict[str, Callable[..., Iterator[Row]]] = {
            "find": self._find,
            "change": self._every,
            "summary": self._summary,
            "trace": self._trace,
        }

    def ask(self, question: str, **fields: Any) -> Iterator[Row]:
        """See Session."""
        if self._sharded or question == "trace":
            together: Callable[..., Iterator[Row]] = self._together.get(question) or self._first
            yield from together(question, **fields)
        else:
            yield from self._workers[0].ask(question, **fields)

    def _first(self, question: str, **fields: Any) -> Iterator[Row]:
        """Of the first one that has an answer."""
        for worker in self._workers:
            found = False
            for row in worker.ask(question, **fields):
                found = True
                yield row
            if found:
                return

    def _every(self, question: str, **fields: Any) -> Iterator[Row]:
        for worker in self._workers:
            yield from worker.ask(question, **fields)

    def _find(self, question: str, limit: int = 100, **fields: Any) -> Iterator[Row]:
        # Each answer is read to its end, or the next one on its connection would begin with it.
        pages = [list(worker.ask(question, limit=limit, **fields)) for worker in self._workers]
        yield from list(heapq.merge(*pages, key=lambda row: str(row["id"])))[:limit]

    def _summary(self, question: str) -> Iterator[Row]:
        counts: Counter[str] = Counter()
        due: list[float] = []
        others: list[Row] = []
        for row in self._every(question):
            if "counts" in row:
                counts.update(row["counts"])
                due += [] if row["next_due"] is None else [row["next_due"]]
            else:
                others.append(row)
        yield {"counts": dict(counts), "next_due": min(due, default=None)}
        yield from others

    def _trace(self, question: str, **fields: Any) -> Iterator[Row]:
        # Whoever is asked writes first what it remembers; so the last one asked, where all
        # write into one file, knows what all know.
        answers = [list(worker.ask(question, **fields)) for worker in self._workers]
        known = {json.dumps(row, sort_keys=True): row for rows in answers[::-1] for row in rows}
        yield from known.values()

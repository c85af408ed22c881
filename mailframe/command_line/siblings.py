"""Asks the workers of one host as if they were one.

Each worker has a part of the queue; or all share one, and then each of them knows all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ..host.control import Row


class Answering(Protocol):
    """Answers the questions of `mailframe.host.control`."""

    def ask(self, question: str, **fields: Any) -> Iterator[Row]:
        """The rows of the answer as they come. Raises Wrong."""


class Siblings:
    """All workers of a running host; `sharded` if each has a part of the queue."""

    def __init__(self, workers: Sequence[Answering], sharded: bool = True) -> None:
        self._workers = workers
        self._sharded = sharded

    def ask(self, question: str, **fields: Any) -> Iterator[Row]:
        """See Answering. The question itself says how the answers are combined."""
        from ..host.control import QUESTIONS

        asks = [partial(worker.ask, question) for worker in self._workers]
        yield from QUESTIONS[question].ask_all(asks, self._sharded, **fields)

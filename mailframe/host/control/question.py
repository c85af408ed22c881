"""A question to a host, and how the answers of its workers become one answer.

An answer is a stream of rows, each a JSON object; it never grows with the queue. Each worker is
asked over its own connection. Its answer must be read to the end before the next question.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeAlias

from .subject import Refused, Subject

PAGE = 500  # rows of one answer; ids of one request

Row: TypeAlias = dict[str, Any]
Rows: TypeAlias = AsyncGenerator[Row, None]

#: Asks one worker; gives the rows of its answer to this question with these fields.
Ask: TypeAlias = Callable[..., Iterator[Row]]
#: Combines the answers of several workers: merge(workers, **fields).
Merge: TypeAlias = Callable[..., Iterator[Row]]


def of_the_first(workers: Sequence[Ask], **fields: Any) -> Iterator[Row]:
    """The answer of the first worker that has one."""
    for ask in workers:
        found = False
        for row in ask(**fields):
            found = True
            yield row
        if found:
            return


def of_each(workers: Sequence[Ask], **fields: Any) -> Iterator[Row]:
    """The answers of all workers, one after the other."""
    return chain.from_iterable(ask(**fields) for ask in workers)


def by_id(workers: Sequence[Ask], limit: int = 100, **fields: Any) -> Iterator[Row]:
    """One page of the rows of all workers, in the order of their ids."""
    pages = [list(ask(limit=limit, **fields)) for ask in workers]
    yield from list(heapq.merge(*pages, key=lambda row: str(row["id"])))[:limit]


def known_to_any(workers: Sequence[Ask], **fields: Any) -> Iterator[Row]:
    """Each row once, whichever worker has it.

    A worker that is asked first writes down what it remembers. If all workers write into one file,
    the last one that is asked has all the rows, so its order is used.
    """
    answers = [list(ask(**fields)) for ask in workers]
    known = {json.dumps(row, sort_keys=True): row for rows in answers[::-1] for row in rows}
    yield from known.values()


@dataclass(frozen=True)
class Question:
    """Something that can be asked.

    `answer(subject, **fields)` gives the rows; its parameters are the question's. It may raise
    Refused, at once or while it answers. `of_queue` is True if the answer is about the queue: if
    all workers share one queue, each knows the whole answer, and only one is asked.
    """

    name: str
    answer: Callable[..., Rows]
    merge: Merge = of_the_first
    of_queue: bool = True

    def ask(self, subject: Subject, **fields: Any) -> Rows:
        """The answer of one host. Raises Refused for fields that it does not have."""
        try:
            return self.answer(subject, **fields)
        except TypeError as wrong:
            raise Refused(f"{self.name}: {wrong}") from None

    def ask_all(self, workers: Sequence[Ask], sharded: bool, **fields: Any) -> Iterator[Row]:
        """The combined answer of all workers; `sharded` if each has its own part of the queue."""
        if self.of_queue and not sharded:
            return workers[0](**fields)
        return self.merge(workers, **fields)

"""Remembers answers, up to a limit; the least recently used one is forgotten first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from ..names.records import Answer, Unresolvable
from .wire import DnsQuestion

LONGEST = 86400  # seconds for an answer, whatever its TTL
LONGEST_NEGATIVE = 10800  # RFC 2308 section 5: one to three hours
FAILURE = 10  # seconds; RFC 2308 section 7: five minutes at most
_OCTETS_PER_PLACE = 512

Found = Answer[Any] | Unresolvable


class Cache:
    """Answers, and failures to get one, each until its time is over.

    `size` is in places: an answer takes one place, and one more for each 512 octets of its
    response, so that large records cannot fill the memory. `now` gives seconds.
    """

    def __init__(self, size: int, now: Callable[[], float]) -> None:
        self._size = size
        self._now = now
        self._places = 0
        self._found: OrderedDict[DnsQuestion, tuple[float, int, Found]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._found)

    def get(self, question: DnsQuestion) -> Found | None:
        """The answer or failure, if it is known and still valid, else None."""
        remembered = self._found.get(question)
        if remembered is None:
            return None
        until, _, found = remembered
        if until <= self._now():
            self._forget(question)
            return None
        self._found.move_to_end(question)
        return found

    def put(self, question: DnsQuestion, found: Found, seconds: float, octets: int = 0) -> None:
        """Remember it for that many seconds; for 0 (TTL 0) not at all."""
        self._forget(question)
        places = 1 + octets // _OCTETS_PER_PLACE
        if seconds <= 0 or places > self._size:
            return
        self._found[question] = (self._now() + seconds, places, found)
        self._places += places
        while self._places > self._size:
            self._forget(next(iter(self._found)))

    def _forget(self, question: DnsQuestion) -> None:
        remembered = self._found.pop(question, None)
        if remembered is not None:
            self._places -= remembered[1]

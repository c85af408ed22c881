"""Names of messages and sessions."""

from __future__ import annotations

import time
from functools import lru_cache
from os import urandom

LETTERS = "0123456789BCDFGHJKLMNPQRSTVWXYZ"  # no vowels: no words

_PAIRS = [first + second for first in LETTERS for second in LETTERS]


def new_id(now: float | None = None) -> str:
    """A new name for a message or session: it sorts by time and is never used again.

    Eleven characters of microseconds and five of chance, from 31 unambiguous capitals and
    digits; safe in file names, headers and logs. `now` is seconds since the epoch.
    """
    ticks = int((time.time() if now is None else now) * 1e6)
    head, tail = divmod(ticks % 31**11, 31**4)
    first, second = divmod(tail, 31**2)
    third, rest = divmod(int.from_bytes(urandom(8), "big") % 31**5, 31**3)
    fourth, last = divmod(rest, 31)
    tail_letters = _PAIRS[first] + _PAIRS[second] + _PAIRS[third] + _PAIRS[fourth]
    return _head(head) + tail_letters + LETTERS[last]


@lru_cache(maxsize=4)
def _head(number: int) -> str:
    """The seven letters that change once in a second."""
    letters = []
    for _ in range(7):
        number, rest = divmod(number, 31)
        letters.append(LETTERS[rest])
    return "".join(reversed(letters))

"""Makes ids of messages and sessions."""

from __future__ import annotations

import time
from functools import lru_cache
from os import urandom

LETTERS = "0123456789BCDFGHJKLMNPQRSTVWXYZ"  # no vowels, so no words

_PAIRS = [first + second for first in LETTERS for second in LETTERS]


def new_id(now: float | None = None) -> str:
    """A new id for a message or session; ids sort by time and are never used again.

    Eleven characters for microseconds and five random ones, from 31 capitals and digits that are
    easily told apart. Safe in file names, header fields and logs. `now` is in seconds since the
    epoch.
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
    """The first seven letters, which change once a second."""
    letters = []
    for _ in range(7):
        number, rest = divmod(number, 31)
        letters.append(LETTERS[rest])
    return "".join(reversed(letters))

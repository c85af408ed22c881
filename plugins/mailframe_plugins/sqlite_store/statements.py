"""A new message as it is stored, and statements for many rows at a time."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from mailframe.message import Pending


class NewMessage(NamedTuple):
    """A message to be stored; `octets` is None if the body is a file."""

    id: str
    created: float
    pending: tuple[Pending, ...]
    sender: bytes
    size: int
    envelope: bytes
    body_sum: int
    prefix: bytes
    octets: bytes | None
    hold: bool = False


def at_a_time(waiting: int) -> int:
    """How many of the waiting rows one statement takes.

    Nearly all, but few different numbers, so that there are few different statements.
    """
    return waiting if waiting <= 16 else min(64, waiting // 16 * 16)


@lru_cache(maxsize=128)
def marks(count: int) -> str:
    """So many question marks, separated by commas."""
    return ",".join("?" * count)


@lru_cache(maxsize=64)
def insertion(table: str, columns: str, count: int) -> str:
    """One INSERT for so many rows."""
    row = f"({marks(columns.count(',') + 1)})"
    return f"INSERT INTO {table} ({columns}) VALUES {','.join([row] * count)}"

"""Dates in header fields (RFC 5322 section 3.3)."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@lru_cache(maxsize=16)
def date_time(second: int) -> str:
    """The date-time of a second since the epoch, in UTC: "Sat, 22 Nov 2025 22:14:00 +0000"."""
    at = _EPOCH + timedelta(seconds=second)
    clock = f"{at.hour:02}:{at.minute:02}:{at.second:02} +0000"
    return f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04} {clock}"


def date_field(second: int) -> bytes:
    """A Date: field of a second since the epoch, ended by CRLF."""
    return f"Date: {date_time(second)}\r\n".encode("ascii")

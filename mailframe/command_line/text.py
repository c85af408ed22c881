"""Texts for a terminal: times, sizes and strangers' texts, each in one line."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import click

# C0, DEL and C1, which could control a terminal; and line separators.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def safe(text: object) -> str:
    """A stranger's text, with each control character written as an escape."""
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode(), str(text))


def say(*parts: object) -> None:
    """Print a line that has no control characters."""
    click.echo(safe(" ".join(map(str, parts))))


def say_json(row: Mapping[str, Any]) -> None:
    """Print one JSON object as a line."""
    click.echo(json.dumps(row, ensure_ascii=True))


def clock(seconds: float) -> str:
    """Local time to the second: 2026-11-22 14:03:11."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def span(seconds: float) -> str:
    """A length of time in its two largest units: 45s, 3m 20s, 4h 5m, 2d 3h."""
    left = max(0, round(seconds))
    parts: list[str] = []
    for letter, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count or parts or letter == "s":
            parts.append(f"{count}{letter}")
    return " ".join(part for part in parts[:2] if part[0] != "0" or len(parts) == 1)


def octets(size: int) -> str:
    """A size in the largest unit that suits it: 950, 4.0K, 25M."""
    value = float(size)
    for unit in ("", "K", "M", "G"):
        if value < 1000 or unit == "G":
            break
        value /= 1024
    return f"{value:.1f}{unit}" if unit and value < 10 else f"{value:.0f}{unit}"


def path(address: str) -> str:
    """A reverse-path or forward-path as RFC 5321 writes it."""
    return f"<{address}>"


def facts(row: Mapping[str, Any]) -> Iterator[str]:
    """key=value for each fact that has a value."""
    for key, value in row.items():
        if value not in (None, "", [], {}):
            yield f"{key}={clock(value) if _is_moment(value) else value}"


def took(milliseconds: float) -> str:
    """How long something took: 12.3 ms, 4.5 s, 5m 3s."""
    if milliseconds < 1000:
        return f"{milliseconds:.1f} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.1f} s" if seconds < 60 else span(seconds)


def _is_moment(value: object) -> bool:
    """True for seconds since the epoch: a fraction that is between the years 2001 and 2128."""
    return isinstance(value, float) and 1e9 < value < 5e9

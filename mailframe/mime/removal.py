"""Removes header fields from a message and leaves every other octet as it was."""

from __future__ import annotations

from collections.abc import Mapping

from .header import read

#: By name in lower case: the numbers of the fields to remove, from the top; None for all.
Removal = Mapping[bytes, frozenset[int] | None]


def without_fields(section: bytes, removal: Removal) -> bytes:
    """The header section, up to its empty line or to its end, without these fields."""
    seen: dict[bytes, int] = {}
    kept = []
    for field in read(section):
        number = seen.get(field.key, 0)
        seen[field.key] = number + 1
        if field.key in removal:
            numbers = removal[field.key]
            if numbers is None or number in numbers:
                continue
        kept.append(section[field.start : field.end])
    return b"".join(kept)

"""Checks a header section as it streams by, a piece at a time, and keeps almost nothing of it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

Excess = Literal["size", "hops"]

WATCHED = (b"received", b"message-id", b"date", b"delivered-to")


class HeaderScan:
    """Counts the fields of some names, chunk by chunk, and checks the limits of a header section.

    `max_size` is in octets with the line ends, `max_lines` in lines, `max_hops` in Received:
    fields. `excess` says which limit was passed: "size" (or lines), or "hops"; None while the
    section is within them. `ended` is True after the empty line. Lines end with CRLF.

    Only the start of an unfinished line is kept, so a header section without end takes no memory.
    However the octets are cut into pieces, the results are the same.
    """

    __slots__ = (
        "_carry",
        "_counts",
        "_longest",
        "_max_hops",
        "_max_lines",
        "_max_size",
        "_pattern",
        "ended",
        "excess",
        "lines",
        "size",
    )

    def __init__(
        self, max_size: int, max_lines: int, max_hops: int, names: tuple[bytes, ...] = WATCHED
    ) -> None:
        self._max_size, self._max_lines, self._max_hops = max_size, max_lines, max_hops
        self._pattern, self._longest = _watching(names)
        self._counts: dict[bytes, int] = {}
        self._carry = b"\r\n"  # the line end before the next octets
        self.size = 0
        self.lines = 0
        self.ended = False
        self.excess: Excess | None = None

    def count(self, name: bytes) -> int:
        """The number of fields of this name so far; one of the watched names, in lower case."""
        return self._counts.get(name, 0)

    @property
    def hops(self) -> int:
        """The number of Received: fields so far (RFC 5321 section 6.3)."""
        return self._counts.get(b"received", 0)

    def feed(self, octets: bytes) -> None:
        """Take the next octets of the message; those after the header section are ignored."""
        if self.ended or self.excess is not None:
            return
        carried = self._carry
        section = carried + octets
        end = section.find(b"\r\n\r\n")
        if end >= 0:
            self.ended = True
            section = section[: end + 4]
            self.lines -= 1  # do not count the empty line
        self.size += max(0, len(section) - len(carried))
        self.lines += section.count(b"\r\n") - carried.count(b"\r\n")
        for name in self._pattern.findall(section):
            name = name.lower()
            self._counts[name] = self._counts.get(name, 0) + 1
        if not self.ended:
            self._carry = self._unfinished(section)
        if self.size > self._max_size or self.lines > self._max_lines:
            self.excess = "size"
        elif self.hops > self._max_hops:
            self.excess = "hops"

    def _unfinished(self, section: bytes) -> bytes:
        """The part of the last line that must be seen again with the next octets."""
        line = section[max(section.rfind(b"\r\n"), 0) :]
        if line.startswith(b"\r\n") and b":" not in line:
            name = line.rstrip(b" \t")
            if len(name) <= self._longest:
                return name + b" " if len(name) < len(line) else line
        # Its name is known by now, or is not watched; only a CRLF that is cut in two still matters.
        return b"\r" if line.endswith(b"\r") else b""


@lru_cache(maxsize=16)
def _watching(names: tuple[bytes, ...]) -> tuple[re.Pattern[bytes], int]:
    """A pattern for these fields, and after how many octets of a line it cannot be one of them."""
    either = b"|".join(re.escape(name) for name in names)
    pattern = re.compile(rb"\r\n(" + either + rb")[ \t]*:", re.IGNORECASE)
    return pattern, max(len(name) for name in names) + len(b"\r\n\r")

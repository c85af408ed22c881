"""The front of a message, as TOP shows it (RFC 1939 section 7)."""

from __future__ import annotations

import re

_EMPTY_LINE = re.compile(rb"\n\r?\n")


class Excerpt:
    """Passes on a message's header section, the empty line and so many lines of the body.

    Lines end in LF or CRLF. A message without an empty line is all header section. `full` becomes
    True if what follows is not needed.
    """

    __slots__ = ("_in_header", "_lines", "_tail", "full")

    def __init__(self, lines: int) -> None:
        self._lines = lines
        self._in_header = True
        self._tail = b"\n"  # what came last; an empty line may be the first one
        self.full = False

    def feed(self, octets: bytes) -> bytes:
        """What of these octets belongs to the excerpt."""
        if not self._in_header:
            return self._body(octets)
        seen = self._tail + octets
        match = _EMPTY_LINE.search(seen)
        if match is None:
            self._tail = seen[-2:]
            return octets
        self._in_header = False
        body_at = match.end() - len(self._tail)
        return octets[:body_at] + self._body(octets[body_at:])

    def _body(self, octets: bytes) -> bytes:
        if self._lines:
            count = octets.count(b"\n")
            if count < self._lines:
                self._lines -= count
                return octets
            rest = octets.split(b"\n", self._lines)[-1]
            self._lines = 0
            octets = octets[: len(octets) - len(rest)]
        else:
            octets = b""
        self.full = True
        return octets

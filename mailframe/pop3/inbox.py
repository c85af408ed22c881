"""Octets that came from the client and have not been read: lines are taken from the front."""

from __future__ import annotations


class Inbox:
    """Octets in the order in which they came; its length is the number of octets kept.

    RFC 1939 section 3 ends a line with CRLF. What ends with LF alone is a line, too, but one that
    keeps its LF, so that nothing in it can be taken for a command. Taking a line copies only that
    line, however much waits behind it. A line that is skipped is not kept.
    """

    __slots__ = ("_at", "_octets", "_skipping")

    def __init__(self) -> None:
        self._octets = b""
        self._at = 0
        self._skipping = False

    def __len__(self) -> int:
        return len(self._octets) - self._at

    def put(self, octets: bytes) -> None:
        """Add octets that came."""
        if self._skipping:
            _, end, octets = octets.partition(b"\n")
            self._skipping = not end
        self._octets = self._octets[self._at :] + octets
        self._at = 0

    def line(self, limit: int) -> bytes | None:
        """The next line without its CRLF, or with its LF if that is alone.

        None if it has no end yet, or none within `limit` octets, including the end.
        """
        at = self._at
        end = self._octets.find(b"\n", at, at + limit)
        if end < 0:
            return None
        self._at = end + 1
        if end > at and self._octets[end - 1] == 13:
            return self._octets[at : end - 1]
        return self._octets[at : end + 1]

    def head(self, count: int) -> bytes:
        """The first `count` octets, or fewer if there are not so many; they stay."""
        return self._octets[self._at : self._at + count]

    def skip_line(self) -> None:
        """Drop the line at the front up to its end, even if that is still to come."""
        rest = self._octets[self._at :]
        self.clear()
        self._skipping = True
        self.put(rest)

    def clear(self) -> None:
        """Forget everything."""
        self._octets = b""
        self._at = 0
        self._skipping = False

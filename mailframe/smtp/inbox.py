"""Octets that came from the other side and have not been read: lines are taken from the front."""

from __future__ import annotations


class Inbox:
    """Octets in the order in which they came.

    Its length is the number of octets kept; `empty` is faster. Taking a line copies only that line,
    however much waits behind it. A line that is skipped is not kept. Only CRLF ends a line, unless
    `bare_lf` says that LF does, too.
    """

    __slots__ = ("_at", "_end", "_octets", "_skipping", "empty")

    def __init__(self, *, bare_lf: bool = False) -> None:
        self.empty = True
        self._end = b"\n" if bare_lf else b"\r\n"
        self._octets = b""
        self._at = 0
        self._skipping = False

    def __len__(self) -> int:
        return len(self._octets) - self._at

    def put(self, octets: bytes) -> None:
        """Add octets that came."""
        self._octets = octets if self.empty else self._octets[self._at :] + octets
        self._at = 0
        self.empty = not self._octets

    def line(self, limit: int) -> bytes | None:
        """The next line without its end.

        None if it has no end yet, or none within `limit` octets, including the end.
        """
        if self._skipping and not self._skipped():
            return None
        at, octets, mark = self._at, self._octets, self._end
        end = octets.find(mark, at, at + limit)
        if end < 0:
            return None
        self._at = next = end + len(mark)
        self.empty = next == len(octets)
        line = octets[at:end]
        return line if mark == b"\r\n" else line.removesuffix(b"\r")

    def before_bare_lf(self, limit: int) -> bytes | None:
        """The octets before an LF that comes before any CRLF, else None.

        Only the first `limit` octets are looked at.
        """
        at = self._at
        end = self._octets.find(b"\n", at, at + limit)
        if end < 0 or (end > at and self._octets[end - 1] == 13):
            return None
        return self._octets[at:end]

    def skip_line(self) -> None:
        """Drop the line at the front up to its end, even if that is still to come."""
        self._skipping = True
        self._skipped()

    def head(self, count: int) -> bytes:
        """The first `count` octets, or fewer if there are not so many; they stay."""
        return self._octets[self._at : self._at + count]

    def take(self, count: int) -> bytes:
        """Take the first `count` octets, or fewer if there are not so many."""
        at = self._at
        taken = self._octets[at : at + count]
        self._at = at + len(taken)
        self.empty = self._at == len(self._octets)
        return taken

    def take_all(self) -> bytes:
        """Take all octets."""
        octets = self._octets[self._at :] if self._at else self._octets
        self.clear()
        return octets

    def clear(self) -> None:
        """Forget everything."""
        self._octets = b""
        self._at = 0
        self.empty = True
        self._skipping = False

    def _skipped(self) -> bool:
        """True if the end of the line that is skipped was found."""
        end = self._octets.find(self._end, self._at)
        if end >= 0:
            self._at = end + len(self._end)
            self.empty = self._at == len(self._octets)
            self._skipping = False
            return True
        self._octets = b"\r" if self._octets.endswith(b"\r") else b""
        self._at = 0
        self.empty = not self._octets
        return False

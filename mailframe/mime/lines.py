"""Finds lines that are too long for SMTP, at very little cost, and breaks them.

RFC 5321 section 4.5.3.1.6: a line of text has at most 998 octets without its CRLF.
"""

from __future__ import annotations

from .write import MAX_LINE


class LineScan:
    """Checks text that streams by: is it ASCII, and has each line at most 998 octets?

    Its cost does not grow with the number of lines: it looks for an LF once in 998 octets, from the
    right. However the octets are cut into pieces, the results are the same. Lines end with CRLF.
    """

    __slots__ = ("_since", "ascii", "long")

    def __init__(self) -> None:
        self._since = 0  # octets since the last LF
        self.ascii = True
        self.long = False

    @classmethod
    def of(cls, octets: bytes) -> LineScan:
        """The scan of these octets, which are the whole text."""
        scan = cls()
        scan.feed(octets)
        scan.finish()
        return scan

    def feed(self, octets: bytes) -> None:
        """Take the next octets."""
        self.ascii = self.ascii and octets.isascii()
        if self.long:
            return
        start, size = -self._since, len(octets)  # where the line began
        while size - start > MAX_LINE + 1:  # the one more octet may be its CR
            found = octets.rfind(b"\n", max(start, 0), start + MAX_LINE + 2)
            if found < 0:
                self.long = True
                return
            start = found + 1
        found = octets.rfind(b"\n", max(start, 0))
        self._since = size - (start if found < 0 else found + 1)

    def finish(self) -> None:
        """End the text. A last line without CRLF gets one when it is sent."""
        self.long = self.long or self._since > MAX_LINE


class LineBreaker:
    """Breaks lines that are too long with CRLF and a blank, as they stream by.

    Postfix does the same (smtp_line_length_limit). This folds a header field, and adds a line end
    to text. Characters of UTF-8 are not cut. Everything else stays as it is.
    """

    __slots__ = ("_held", "_width")

    def __init__(self) -> None:
        self._held = b""
        self._width = MAX_LINE  # octets for which the line still has room

    def feed(self, octets: bytes) -> bytes:
        """The octets to write now, for these octets."""
        octets = self._held + octets
        kept: list[bytes] = []
        begin = start = 0
        while len(octets) - start > self._width + 1:
            found = octets.rfind(b"\n", start, start + self._width + 2)
            if found >= 0:
                start, self._width = found + 1, MAX_LINE
            else:
                start = _cut(octets, start + self._width)
                kept += (octets[begin:start], b"\r\n ")
                begin, self._width = start, MAX_LINE - 1
        self._held = octets[start:]
        return b"".join([*kept, octets[begin:start]])

    def finish(self) -> bytes:
        """The octets to write at the end."""
        held, self._held = self._held, b""
        if len(held) > self._width and b"\n" not in held:
            cut = _cut(held, self._width)
            return held[:cut] + b"\r\n " + held[cut:]
        return held


def broken(octets: bytes) -> bytes:
    """All these octets with their long lines broken."""
    breaker = LineBreaker()
    return breaker.feed(octets) + breaker.finish()


def _cut(octets: bytes, at: int) -> int:
    """This position, or a little before it if it is within a character of UTF-8."""
    for place in range(at, at - 4, -1):
        if octets[place] & 0xC0 != 0x80:
            return place
    return at

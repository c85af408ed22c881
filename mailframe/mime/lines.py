"""Lines that are too long for SMTP: found at next to no cost, broken if nothing better helps.

RFC 5321 section 4.5.3.1.6: a line of text has 998 octets at most, without its CRLF.
"""

from __future__ import annotations

from .write import MAX_LINE


class LineScan:
    """Looks at text that streams by: is it ASCII, and are all its lines of 998 octets at most?

    Takes no time by the line: an LF is looked for once in 998 octets, from the right. Wherever
    the octets are cut, what is found is the same. Lines end with CRLF.
    """

    __slots__ = ("_since", "ascii", "long")

    def __init__(self) -> None:
        self._since = 0  # octets since the last LF
        self.ascii = True
        self.long = False

    @classmethod
    def of(cls, octets: bytes) -> LineScan:
        """What there is to say of these octets, which are all."""
        scan = cls()
        scan.feed(octets)
        scan.finish()
        return scan

    def feed(self, octets: bytes) -> None:
        """The next octets."""
        self.ascii = self.ascii and octets.isascii()
        if self.long:
            return
        start, size = -self._since, len(octets)  # where the line began
        while size - start > MAX_LINE + 1:  # it may have its CR by now
            found = octets.rfind(b"\n", max(start, 0), start + MAX_LINE + 2)
            if found < 0:
                self.long = True
                return
            start = found + 1
        found = octets.rfind(b"\n", max(start, 0))
        self._since = size - (start if found < 0 else found + 1)

    def finish(self) -> None:
        """The text ends here; its last line gets a CRLF on the wire if it has none."""
        self.long = self.long or self._since > MAX_LINE


class LineBreaker:
    """Breaks lines that are too long by CRLF and a blank, as they stream by; all else stays.

    It is what Postfix does (smtp_line_length_limit). A header field is folded by it, text gets
    a line end that was not there. Characters of UTF-8 are not cut.
    """

    __slots__ = ("_held", "_width")

    def __init__(self) -> None:
        self._held = b""
        self._width = MAX_LINE  # octets that the line may still have

    def feed(self, octets: bytes) -> bytes:
        """What to write for these octets, now."""
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
        """What to write at the end."""
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
    """This place, or a little before it if it is within a character of UTF-8."""
    for place in range(at, at - 4, -1):
        if octets[place] & 0xC0 != 0x80:
            return place
    return at

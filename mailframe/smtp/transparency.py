"""Dots and line ends of the mail data, chunk by chunk, in both directions (RFC 5321 section 4.5.2).

No Python code runs for each line, and only a few octets are kept, however long a line is. However
the octets are cut into pieces, the content is the same. The data end with CRLF dot CRLF and with no
other spelling of it (sections 2.3.8 and 4.1.1.4).
"""

from __future__ import annotations

import re
from io import IncrementalNewlineDecoder

_END = b"\r\n.\r\n"
_DOTTED = _END[:3]
_OFFENCE = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")
_NO_LINE_END = re.compile(rb"\r(?!\n)|\0")


class BadLineEnds(ValueError):
    """The octets contain a bare CR, a bare LF or a NUL, which SMTP cannot carry as text."""


def clean_length(octets: bytes) -> int:
    """The number of octets before the first bare CR, bare LF or NUL; all if there is none.

    The octets must begin and end between characters: a CR at the end counts as bare.
    """
    # It reports which line ends it has seen, in one pass in C. That takes 0.3 ns an octet however
    # short the lines are; counting CRLF, CR and LF would take 1.5 ns.
    seen = IncrementalNewlineDecoder(None, False)
    seen.decode(octets.decode("latin-1"), True)
    if (seen.newlines is None or seen.newlines == "\r\n") and b"\0" not in octets:
        return len(octets)
    offence = _OFFENCE.search(octets)
    return len(octets) if offence is None else offence.start()


def _normalized(octets: bytes) -> tuple[bytes, bool]:
    """The octets with CRLF for each LF, up to a bare CR or a NUL, and True if there was one."""
    offence = _NO_LINE_END.search(octets)
    clean = octets if offence is None else octets[: offence.start()]
    return clean.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), offence is not None


def _is_dotted(octets: bytes) -> bool:
    """True if a line after the first one begins with a dot."""
    # Most large content is base64, which has no dots, so the first test costs almost nothing.
    # CPython finds three octets four times faster from the right.
    return b"." in octets and octets.rfind(_DOTTED) >= 0


class LineEnds:
    """Checks the line ends of text that comes in a BDAT chunk.

    `feed` returns the octets that are known to be clean, and keeps back a CR at the end until the
    next octet is known. From the first error on, `offence` is True and everything is dropped. With
    `normalize`, a bare LF is no error: it becomes CRLF.
    """

    __slots__ = ("_held", "_normalize", "offence")

    def __init__(self, *, normalize: bool = False) -> None:
        self.offence = False
        self._held = b""
        self._normalize = normalize

    def feed(self, octets: bytes) -> bytes:
        """The clean octets among what was kept back and `octets`."""
        if self.offence or not octets:
            return b""
        octets = self._held + octets
        self._held = b"\r" if octets.endswith(b"\r") else b""
        clean = octets[:-1] if self._held else octets
        length = clean_length(clean)
        if length == len(clean):
            return clean
        if self._normalize:
            clean, self.offence = _normalized(clean)
            return clean
        self.offence = True
        return clean[:length]

    def finish(self) -> None:
        """The text ends here; a CR that is still kept back is a bare one."""
        self.offence = self.offence or bool(self._held)
        self._held = b""


class Undotter:
    """Reads mail data, from after the 354 to the dot that ends them.

    `offence` becomes True at the first bare CR, bare LF or NUL. Content is dropped from there on,
    but still only CRLF dot CRLF ends the data. With `normalize`, a bare LF becomes CRLF, and a dot
    after it is removed like one at the start of any line. So "LF dot LF" does not end the data, and
    the message cannot be read in two ways by hosts that pass it on.
    """

    __slots__ = ("_held", "_normalize", "_started", "offence")

    def __init__(self, *, normalize: bool = False) -> None:
        self.offence = False
        self._normalize = normalize
        # The data begin as if after a CRLF: a dot may stand at their very start.
        self._held = b"\r\n"
        self._started = False

    def feed(self, octets: bytes) -> tuple[bytes, bool, bytes]:
        """What `octets` add: (content, ended, rest).

        The dots of `content` are undone. Once `ended` is True, `rest` are the octets after the end,
        and the undotter is finished; before that, `rest` is b"".
        """
        buffer = self._held + octets
        dotted = _is_dotted(buffer)
        end = buffer.find(_END) if dotted else -1
        if end >= 0:
            return self._content(buffer[: end + 2], dotted), True, buffer[end + len(_END) :]
        # A dot may follow a bare LF.
        kept = _unfinished(buffer) or (self._normalize and buffer.endswith(b"\n"))
        self._held = buffer[len(buffer) - kept :]
        return self._content(buffer[: len(buffer) - kept], dotted), False, b""

    def _content(self, octets: bytes, dotted: bool) -> bytes:
        if self.offence or not octets:
            return b""
        length = clean_length(octets)
        if length < len(octets):
            if self._normalize:
                octets, self.offence = _normalized(octets)
                dotted = _is_dotted(octets)
            else:
                self.offence = True
                octets = octets[:length]
        if dotted:
            octets = octets.replace(_DOTTED, b"\r\n")
        if not self._started:
            self._started = True
            return octets[2:]
        return octets


def _unfinished(octets: bytes) -> int:
    """The number of octets at the end that may begin CRLF dot CRLF."""
    for length in (4, 3, 2, 1):
        if octets.endswith(_END[:length]):
            return length
    return 0


class Dotter:
    """Writes mail data: doubles each dot that begins a line, and ends the data with a single dot.

    Raises BadLineEnds for a bare CR, a bare LF or a NUL, which are never passed on, and raises it
    again for all that follows. The other side already has what was written before, so the
    connection must be dropped; the end of the data is never written.
    """

    __slots__ = ("_at_line_start", "_ends")

    def __init__(self) -> None:
        self._ends = LineEnds()
        self._at_line_start = True

    def feed(self, octets: bytes) -> bytes:
        """The octets as they are sent; a CR at their end waits. Raises BadLineEnds."""
        clean = self._ends.feed(octets)
        if self._ends.offence:
            raise BadLineEnds("bare CR, bare LF or NUL in the content")
        if not clean:
            return b""
        stuffed = clean.replace(_DOTTED, b"\r\n..") if _is_dotted(clean) else clean
        if self._at_line_start and stuffed.startswith(b"."):
            stuffed = b"." + stuffed
        self._at_line_start = clean.endswith(b"\r\n")
        return stuffed

    def finish(self) -> bytes:
        """The rest of the data: a CRLF if the last line has none, the dot and CRLF.

        Raises BadLineEnds if the content ended in a CR.
        """
        self._ends.finish()
        if self._ends.offence:
            raise BadLineEnds("bare CR, bare LF or NUL in the content")
        return _END[2:] if self._at_line_start else _END

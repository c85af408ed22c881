"""The lines of a multi-line reply, chunk by chunk (RFC 1939 section 3).

No Python code runs for each line, and no more than one octet is kept.
"""

from __future__ import annotations

from io import IncrementalNewlineDecoder

_END = b".\r\n"


def _has_bare_lf(octets: bytes) -> bool:
    # It reports which line ends it has seen, in one pass in C.
    seen = IncrementalNewlineDecoder(None, False)
    seen.decode(octets.decode("latin-1"), True)
    ends = seen.newlines
    return ends is not None and "\n" in (ends if isinstance(ends, tuple) else (ends,))


class Stuffer:
    """Writes text: doubles each dot that begins a line, and ends the text with a single dot.

    Each line ends in CRLF then, whether it was kept with CRLF or with LF. All other octets are
    written as they are, also a bare CR and NUL: POP3 hands out what is in the mailbox.
    """

    __slots__ = ("_at_line_start", "_held")

    def __init__(self) -> None:
        self._at_line_start = True
        self._held = b""

    def feed(self, octets: bytes) -> bytes:
        """The octets as they are sent; a CR at their end waits for what follows."""
        octets = self._held + octets
        self._held = b"\r" if octets.endswith(b"\r") else b""
        if self._held:
            octets = octets[:-1]
        if not octets:
            return b""
        if _has_bare_lf(octets):
            octets = octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        stuffed = octets.replace(b"\n.", b"\n..") if b"." in octets else octets
        if self._at_line_start and stuffed.startswith(b"."):
            stuffed = b"." + stuffed
        self._at_line_start = octets.endswith(b"\n")
        return stuffed

    def finish(self) -> bytes:
        """The rest of the text: a CRLF if the last line has none, the dot and CRLF."""
        if self._at_line_start and not self._held:
            return _END
        return self._held + b"\r\n" + _END

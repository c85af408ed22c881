"""The octets of one message that comes in by DATA or BDAT: which may be passed on, and how many.

However the octets are cut into pieces, content, refusal and end are the same.
"""

from __future__ import annotations

from .event import ContentEnd, ContentOctets
from .inbox import Inbox
from .reply import BAD_LINE_ENDS, MESSAGE_TOO_BIG, Reply
from .transparency import LineEnds, Undotter


class IncomingContent:
    """Passes octets on up to the first error, and counts them (RFC 1870 section 5).

    `limit` is in octets, 0 for none. `refusal` is the reply if the content has an error, else None.
    """

    __slots__ = ("_limit", "_size", "refusal")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self.refusal: Reply | None = None

    def _admit(self, octets: bytes, offence: bool) -> bytes:
        """The part of `octets` that may be passed on; `offence` says if an error follows them."""
        if self.refusal is not None:
            return b""
        if self._limit and self._size + len(octets) > self._limit:
            self.refusal = MESSAGE_TOO_BIG
            octets = octets[: self._limit - self._size]
        elif offence:
            self.refusal = BAD_LINE_ENDS
        self._size += len(octets)
        return octets


class DottedContent(IncomingContent):
    """The content that follows a 354 (RFC 5321 section 4.1.1.4).

    With `normalize`, a bare LF becomes CRLF.
    """

    __slots__ = ("_undotter",)

    def __init__(self, limit: int, *, normalize: bool = False) -> None:
        super().__init__(limit)
        self._undotter = Undotter(normalize=normalize)

    def read(self, inbox: Inbox) -> tuple[ContentOctets | None, ContentEnd | None]:
        """The content and the end that the inbox holds; what comes after the end stays there."""
        if inbox.empty:
            return None, None
        octets, ended, rest = self._undotter.feed(inbox.take_all())
        octets = self._admit(octets, self._undotter.offence)
        content = ContentOctets(octets) if octets else None
        if not ended:
            return content, None
        if rest:
            inbox.put(rest)
        return content, ContentEnd(refusal=self.refusal)


class ChunkedContent(IncomingContent):
    """The content that BDAT brings (RFC 3030). With `binary` (BODY=BINARYMIME) any octets are
    allowed.

    A CR at the end of a chunk is kept back, because the LF may begin the next one. With
    `normalize`, a bare LF in text becomes CRLF.
    """

    __slots__ = ("_last", "_left", "_line_ends")

    def __init__(self, limit: int, *, binary: bool, normalize: bool = False) -> None:
        super().__init__(limit)
        self._line_ends = None if binary else LineEnds(normalize=normalize)
        self._left = 0
        self._last = False

    def begin(self, size: int, last: bool) -> None:
        """A chunk of so many octets follows."""
        self._left, self._last = size, last

    def read(self, inbox: Inbox) -> tuple[ContentOctets | None, ContentEnd | None]:
        """The content and the end of the chunk that the inbox holds."""
        octets = inbox.take(self._left)
        self._left -= len(octets)
        offence = False
        if self._line_ends is not None:
            octets = self._line_ends.feed(octets)
            if self._last and not self._left:
                self._line_ends.finish()
            offence = self._line_ends.offence
        octets = self._admit(octets, offence)
        content = ContentOctets(octets) if octets else None
        return content, None if self._left else ContentEnd(self._last, self.refusal)

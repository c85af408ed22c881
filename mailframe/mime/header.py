"""Reads a header section exactly as its octets are (RFC 5322 sections 2.2, 4.5).

Lines end with CRLF or, in files, with LF alone. A CR without LF is part of its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_END = re.compile(rb"\n\r?\n")
_LINE_END = re.compile(rb"\r?\n")
# RFC 5322 section 4.5.1: obsolete fields may have blanks before the colon.
_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")
_LINES = re.compile(
    rb"(?:([!-9;-~]+)[ \t]*:)?([^\n]*(?:\n|\Z)(?:[ \t][^\n]*(?:\n|\Z))*)",
)


class Field(NamedTuple):
    """One field, or a line that is none, together with the lines that continue it.

    `name` is as spelled, and b"" for a line that is no field. `value` is everything after the
    colon, with its folds and its line end. The whole field is `octets[start:end]` of the octets
    that were read.
    """

    name: bytes
    value: bytes
    start: int
    end: int

    @property
    def key(self) -> bytes:
        """The name in lower case, because names are compared without regard to case."""
        return self.name.lower()

    @property
    def text(self) -> bytes:
        """The value in one line, without blanks around it."""
        return unfold(self.value).strip(b" \t")


def read(octets: bytes) -> Iterator[Field]:
    """The fields from the start of `octets` to the empty line or to the end, in order.

    Nothing is left out: `octets[start:end]` of all fields together are the header section. Takes
    time in proportion to the octets, whatever they are. Never raises.
    """
    for found in _LINES.finditer(octets):
        start, end = found.span()
        name, value = found.groups()
        if start == end or (name is None and value.startswith((b"\r\n", b"\n"))):
            return
        yield Field(name or b"", value, start, end)


def values(octets: bytes, name: bytes) -> list[bytes]:
    """The raw values of all fields of this name (in lower case), in order."""
    return [field.value for field in read(octets) if field.key == name]


def is_field(line: bytes) -> bool:
    """True if the line begins a header field: a name, blanks perhaps, and a colon."""
    return _FIELD.match(line) is not None


def unfold(value: bytes) -> bytes:
    """The value in one line: line ends are removed, the blanks after them stay (section 2.2.3)."""
    return _LINE_END.sub(b"", value)


def end(octets: bytes, limit: int | None = None) -> int | None:
    """The position of the empty line that ends the header section; None if there is none.

    Octets from `limit` on are not looked at.
    """
    if octets.startswith((b"\r\n", b"\n"), 0, limit):
        return 0
    found = _END.search(octets, 0, len(octets) if limit is None else limit)
    return None if found is None else found.start() + 1


def split(octets: bytes) -> tuple[bytes, bytes, bytes]:
    """The header section, the empty line and the body. Without that line the last two are b""."""
    at = end(octets)
    if at is None:
        return octets, b"", b""
    body = octets.index(b"\n", at) + 1
    return octets[:at], octets[at:body], octets[body:]


class HeaderSection:
    """Collects a header section from octets that come in pieces; no more than `limit` are kept.

    `ended` is True once the empty line has come. If it is `done`, it needs no more octets.
    """

    __slots__ = ("_kept", "_limit", "ended")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        self.ended = False

    @property
    def done(self) -> bool:
        """True if the section has ended or is larger than the limit."""
        return self.ended or len(self._kept) >= self._limit

    @property
    def octets(self) -> bytes:
        """The section so far, without the empty line."""
        return bytes(self._kept)

    def feed(self, octets: bytes) -> None:
        """Add the next octets of the message; those after the section are ignored."""
        if self.done:
            return
        seen = max(0, len(self._kept) - 2)  # an end that was cut in two begins two octets back
        self._kept += octets[: self._limit - len(self._kept)]
        if self._kept.startswith((b"\r\n", b"\n")):
            at = 0
        else:
            found = _END.search(self._kept, seen)
            at = -1 if found is None else found.start() + 1
        if at >= 0:
            self.ended = True
            del self._kept[at:]

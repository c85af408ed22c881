"""Ends a header section that its author did not end, while it streams by; leaves fields out.

Programs send text without a header section, or with one but without the empty line after it. After
the fields that this host adds, the first line of such text would be read as a field, or as the
continuation of our last field.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

# The name and the blanks after it are limited, and so is the part of a line that must be kept.
_BLANKS = rb"[ \t]{0,998}"
_NAME = rb"[!-9;-~]{1,998}" + _BLANKS
_REST = rb"[^\r]*(?:\r(?!\n)[^\r]*)*"  # of a line
_BEGINS = re.compile(_NAME + rb":|[ \t]")  # a field, or a line that continues one
_FIELDS = re.compile(rb"(?:(?:" + _NAME + rb":|[ \t])" + _REST + rb"\r\n)+")
_CONTINUED = re.compile(rb"(?:[ \t]" + _REST + rb"\r\n)*")
_MAY_BEGIN = re.compile(rb"(?:" + _NAME + rb")?\r?\Z")
_MBOX = re.compile(rb">{0,998}From ")


class Separator:
    """Puts an empty line before the first line that neither is a header field nor continues one.

    Lines "From …" on top, from an mbox file, are removed, because they are no part of a message. So
    are the fields with the names in `without`, which are in lower case. All else stays as it is.
    `ended` is True once the body has begun; what follows need not be fed. Lines end with CRLF. No
    more than the start of a line is kept. However the octets are cut into pieces, the output is
    the same.
    """

    __slots__ = ("_held", "_omits", "_place", "_without", "ended")

    def __init__(self, without: frozenset[bytes] = frozenset()) -> None:
        self._without = without
        self._held = b""  # the start of a line that may still become a field
        self._place: Literal["top", "line", "within", "omitting", "dropping"] = "top"
        self._omits = False  # True while the field that a line may continue is left out
        self.ended = False

    def feed(self, octets: bytes) -> bytes:
        """The octets to write now, for these octets."""
        if self.ended:
            return octets
        if self._place == "top" and not self._held and self._is_good(octets):
            self.ended = True
            return octets
        octets, self._held = self._held + octets, b""
        kept: list[bytes] = []
        while octets:
            if self._place in ("top", "line"):
                octets = self._judge(octets, kept)
            else:
                octets = self._pass(octets, kept)
        return b"".join(kept)

    def _is_good(self, octets: bytes) -> bool:
        """True if the whole section is here, and there is nothing to do: nothing is copied."""
        fields = _FIELDS.match(octets)
        if fields is None or octets[:1] in b" \t":
            return False
        end = fields.end()
        if not octets.startswith(b"\r\n", end):
            return False
        if not self._without:
            return True
        first, others = _fields_named(self._without)
        return first.match(octets) is None and others.search(octets, 0, end) is None

    def finish(self) -> bytes:
        """The octets to write at the end: the start of a line that never ended."""
        held, self._held = self._held, b""
        if not held or self._place == "within":
            return held
        self.ended = True
        return b"" if self._place in ("dropping", "omitting") else b"\r\n" + held

    def _judge(self, octets: bytes, kept: list[bytes]) -> bytes:
        """At the start of a line: keep the fields that are complete; returns what is left to do."""
        continues = octets.startswith((b" ", b"\t"))
        if not (continues and self._place == "top"):
            fields = _FIELDS.match(octets)
            if fields is not None:
                kept.append(self._sifted(fields.group()) if self._without else fields.group())
                self._place = "line"
                return octets[fields.end() :]
            begun = _BEGINS.match(octets)
            if begun is not None:
                if not continues:
                    name = begun.group()[:-1].rstrip(b" \t").lower()
                    self._omits = name in self._without
                self._place = "omitting" if self._omits else "within"
                return octets
            if _MAY_BEGIN.match(octets):
                self._held = octets
                return b""
            if self._place == "top" and _MBOX.match(octets):
                self._place = "dropping"
                return octets
        self.ended = True
        if not octets.startswith(b"\r\n"):
            kept.append(b"\r\n")
        kept.append(octets)
        return b""

    def _sifted(self, lines: bytes) -> bytes:
        """These whole lines without the fields that are left out."""
        if self._omits:
            continued = _CONTINUED.match(lines)
            assert continued is not None  # the pattern also matches nothing
            lines = lines[continued.end() :]
            if not lines:
                return b""
            self._omits = False
        framed = b"\r\n" + lines
        _, pattern = _fields_named(self._without)
        if pattern.search(framed) is None:
            return lines
        at, kept = 0, []
        for found in pattern.finditer(framed):
            kept.append(framed[at : found.start()])
            at = found.end()
        self._omits = at == len(framed) - len(b"\r\n")
        return b"".join((*kept, framed[at:]))[2:]

    def _pass(self, octets: bytes, kept: list[bytes]) -> bytes:
        """Within a line: keep it, or drop it, up to its end; returns what is left to do."""
        end = octets.find(b"\r\n") + 2
        whole = end >= 2
        if not whole:
            # A CRLF may be cut in two.
            end = len(octets) - octets.endswith(b"\r")
            self._held = octets[end:]
        if self._place == "within":
            kept.append(octets[:end])
        if whole:
            self._place = "top" if self._place == "dropping" else "line"
            return octets[end:]
        return b""


@lru_cache(maxsize=16)
def _fields_named(names: frozenset[bytes]) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """Patterns for the start of such a field, and for all of it with the line end before it."""
    begins = rb"(?:" + b"|".join(map(re.escape, sorted(names))) + rb")" + _BLANKS + rb":"
    whole = rb"\r\n" + begins + _REST + rb"(?:\r\n[ \t]" + _REST + rb")*"
    return re.compile(begins, re.IGNORECASE), re.compile(whole, re.IGNORECASE)

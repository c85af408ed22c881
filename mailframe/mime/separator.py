"""Ends a header section that its author did not end, while it streams by; leaves fields out.

Machines write text under no header, or under one without the empty line behind it. Put under
fields of ours, its first line would be read as a field, or as the rest of our last one.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

# The name, and the blanks behind it, are bounded: so is what has to be kept of a line.
_BLANKS = rb"[ \t]{0,998}"
_NAME = rb"[!-9;-~]{1,998}" + _BLANKS
_REST = rb"[^\r]*(?:\r(?!\n)[^\r]*)*"  # of a line
_BEGINS = re.compile(_NAME + rb":|[ \t]")  # a field, or the continuation of one
_FIELDS = re.compile(rb"(?:(?:" + _NAME + rb":|[ \t])" + _REST + rb"\r\n)+")
_CONTINUED = re.compile(rb"(?:[ \t]" + _REST + rb"\r\n)*")
_MAY_BEGIN = re.compile(rb"(?:" + _NAME + rb")?\r?\Z")
_MBOX = re.compile(rb">{0,998}From ")


class Separator:
    """Puts an empty line above the first line that is no header field and continues none.

    Lines "From …" on top, from an mbox file, go: they are no part of a message. So do the fields
    of the names in `without`, which are in lower case. All else stays as it is. `ended` is True
    once the body has begun: what follows need not be fed. Lines end with CRLF. No more is kept
    than the start of a line; wherever the octets are cut, what comes out is the same in all.
    """

    __slots__ = ("_held", "_omits", "_place", "_without", "ended")

    def __init__(self, without: frozenset[bytes] = frozenset()) -> None:
        self._without = without
        self._held = b""  # the start of a line of which it is not known what it is
        self._place: Literal["top", "line", "within", "omitting", "dropping"] = "top"
        self._omits = False  # the field that a blank would continue is left out
        self.ended = False

    def feed(self, octets: bytes) -> bytes:
        """What to write for these octets, now."""
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
        """What to write at the end: the start of a line whose end never came."""
        held, self._held = self._held, b""
        if not held or self._place == "within":
            return held
        self.ended = True
        return b"" if self._place in ("dropping", "omitting") else b"\r\n" + held

    def _judge(self, octets: bytes, kept: list[bytes]) -> bytes:
        """At the start of a line: keep the fields that are whole; what is still to be done."""
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
            assert continued is not None  # it matches nothing, too
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
        """Within a line: keep it, or drop it, up to its end; what is still to be done."""
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
    """What finds the beginning of such a field, and one from the line end before it to its own."""
    begins = rb"(?:" + b"|".join(map(re.escape, sorted(names))) + rb")" + _BLANKS + rb":"
    whole = rb"\r\n" + begins + _REST + rb"(?:\r\n[ \t]" + _REST + rb")*"
    return re.compile(begins, re.IGNORECASE), re.compile(whole, re.IGNORECASE)

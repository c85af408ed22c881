"""Ends a header section that its author did not end, while it streams by.

Programs send text without a header section, or with one but without the empty line after it. After
the fields that this host adds, the first line of such text would be read as a field, or as the
continuation of our last field.
"""

from __future__ import annotations

import re
from typing import Literal

# The name and the blanks after it are limited, and so is the part of a line that must be kept.
_NAME = rb"[!-9;-~]{1,998}[ \t]{0,998}"
_BEGINS = re.compile(_NAME + rb":|[ \t]")  # a field, or a line that continues one
_FIELDS = re.compile(rb"(?:(?:" + _NAME + rb":|[ \t])[^\r]*(?:\r(?!\n)[^\r]*)*\r\n)+")
_MAY_BEGIN = re.compile(rb"(?:" + _NAME + rb")?\r?\Z")
_MBOX = re.compile(rb">?From ")


class Separator:
    """Puts an empty line before the first line that neither is a header field nor continues one.

    Lines "From …" on top, from an mbox file, are removed, because they are no part of a message.
    All else stays as it is. `ended` is True once the body has begun; what follows need not be fed.
    Lines end with CRLF. No more than the start of a line is kept. However the octets are cut into
    pieces, the output is the same.
    """

    __slots__ = ("_held", "_place", "ended")

    def __init__(self) -> None:
        self._held = b""  # the start of a line that may still become a field
        self._place: Literal["top", "line", "within", "dropping"] = "top"
        self.ended = False

    def feed(self, octets: bytes) -> bytes:
        """The octets to write now, for these octets."""
        if self.ended:
            return octets
        octets, self._held = self._held + octets, b""
        kept: list[bytes] = []
        while octets:
            if self._place in ("top", "line"):
                octets = self._judge(octets, kept)
            else:
                octets = self._pass(octets, kept)
        return b"".join(kept)

    def finish(self) -> bytes:
        """The octets to write at the end: the start of a line that never ended."""
        held, self._held = self._held, b""
        if not held or self._place == "within":
            return held
        self.ended = True
        return b"" if self._place == "dropping" else b"\r\n" + held

    def _judge(self, octets: bytes, kept: list[bytes]) -> bytes:
        """At the start of a line: keep the fields that are complete; returns what is left to do."""
        continues = octets.startswith((b" ", b"\t"))
        if not (continues and self._place == "top"):
            fields = _FIELDS.match(octets)
            if fields is not None:
                kept.append(fields.group())
                self._place = "line"
                return octets[fields.end() :]
            if _BEGINS.match(octets):
                self._place = "within"
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
            self._place = "line" if self._place == "within" else "top"
            return octets[end:]
        return b""

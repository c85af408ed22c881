"""FLOOR 6: the fields that final delivery adds to a message, and those it looks for.

RFC 5321 section 4.4: the last host adds Return-Path. Delivered-To marks the mailboxes that a
message has been delivered to, so a message that comes back to one of them is known to loop.
"""

from __future__ import annotations

from typing import Literal

from .message import Content, Message, Recipient
from .mime import final_fields

MAX_HEADER = 1 << 18  # octets of the header section that are looked at

LineEnds = Literal["lf", "crlf"]


def final_header(message: Message, recipient: Recipient, original_to: bool = False) -> bytes:
    """Return-Path, Delivered-To and, if wanted, X-Original-To: whole lines that end with CRLF."""
    sender = recipient.sender or message.envelope.sender
    return final_fields.final_fields(
        "" if sender is None else str(sender),
        str(recipient.address),
        str(recipient.original) if original_to else "",
    )


def has_been_at(recipient: Recipient, seen: frozenset[bytes]) -> bool:
    """True if this recipient is among those that `delivered_to` found."""
    return final_fields.is_among(str(recipient.address), seen)


def delivered_to(content: Content) -> frozenset[bytes]:
    """The addresses in the Delivered-To fields, ASCII letters in lower case.

    Opens and reads content that is not at hand, so it blocks then; OSError.
    """
    return final_fields.delivered_to(content.header_section(MAX_HEADER).octets)


class LineEnder:
    """Converts the line ends of octets, piece by piece, and counts the octets.

    "lf" turns CRLF into LF; "crlf" leaves everything as it is.
    """

    def __init__(self, line_ends: LineEnds) -> None:
        self._lf = line_ends == "lf"
        self._kept = b""  # a CR; its LF may come with the next octets
        self._last = b""
        self.size = 0  # octets returned so far
        self._bare = 0  # LFs without a CR among the octets

    @property
    def wire_size(self) -> int:
        """The size that it would have with every line ended by CRLF."""
        return self.size + self._bare

    def feed(self, octets: bytes) -> bytes:
        """The octets to write now."""
        if self._lf:
            octets = self._kept + octets
            self._kept = b"\r" if octets.endswith(b"\r") else b""
            octets = octets[: len(octets) - len(self._kept)].replace(b"\r\n", b"\n")
        return self._count(octets)

    def finish(self) -> bytes:
        """The octets to write at the end."""
        kept, self._kept = self._kept, b""
        return self._count(kept)

    def _count(self, octets: bytes) -> bytes:
        self.size += len(octets)
        self._bare += octets.count(b"\n") - octets.count(b"\r\n")
        if self._last == b"\r" and octets.startswith(b"\n"):
            self._bare -= 1
        self._last = octets[-1:] or self._last
        return octets

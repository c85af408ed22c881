"""FLOOR 6: what final delivery adds to a message, and what it must look for.

RFC 5321 section 4.4: the last host writes Return-Path. Delivered-To marks where a message
has been, so that one that comes back to the same mailbox is known for a loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from .message import Content, Message, Recipient
from .mime import final_fields
from .smtp.address import Mailbox

MAX_HEADER = 1 << 18  # octets of the header section that are looked at

LineEnds = Literal["lf", "crlf"]


def final_header(message: Message, recipient: Recipient, original_to: bool = False) -> bytes:
    """Return-Path, Delivered-To and, if wished, X-Original-To: whole lines ended by CRLF."""
    sender = recipient.sender or message.envelope.sender
    return final_fields.final_fields(
        "" if sender is None else str(sender),
        str(recipient.address),
        str(recipient.original) if original_to else "",
    )


def forwarded(message: Message, aliases: Sequence[Mailbox]) -> Message:
    """The same message, marked as a copy that these aliases send out.

    A field with an address that is not ASCII is left out where its next host might not take it.
    """
    said = [str(each) for each in aliases if each.is_ascii or message.envelope.smtputf8]
    content = message.content
    prefix = final_fields.forwarding_fields(said) + content.prefix
    return replace(message, content=replace(content, prefix=prefix))


def has_been_at(recipient: Recipient, seen: frozenset[bytes]) -> bool:
    """True if this recipient is among those that `delivered_to` found."""
    return was_at(recipient.address, seen)


def was_at(address: Mailbox, seen: frozenset[bytes]) -> bool:
    """True if this address is among those that `delivered_to` found."""
    return final_fields.is_among(str(address), seen)


def delivered_to(content: Content) -> frozenset[bytes]:
    """The addresses in the Delivered-To fields, ASCII letters in lower case.

    Opens and reads content that is not at hand, so it blocks then; OSError.
    """
    return final_fields.delivered_to(content.header_section(MAX_HEADER).octets)


class LineEnder:
    """Gives octets the line ends wished for, piece by piece, and counts them.

    "lf" makes LF of CRLF, "crlf" leaves all as it is.
    """

    def __init__(self, line_ends: LineEnds) -> None:
        self._lf = line_ends == "lf"
        self._kept = b""  # a CR whose LF may come with the next octets
        self._last = b""
        self.size = 0  # octets given
        self._bare = 0  # LFs without a CR among them

    @property
    def wire_size(self) -> int:
        """What `size` would be with every line ended by CRLF."""
        return self.size + self._bare

    def feed(self, octets: bytes) -> bytes:
        """What to write for these octets, now."""
        if self._lf:
            octets = self._kept + octets
            self._kept = b"\r" if octets.endswith(b"\r") else b""
            octets = octets[: len(octets) - len(self._kept)].replace(b"\r\n", b"\n")
        return self._count(octets)

    def finish(self) -> bytes:
        """What to write at the end."""
        kept, self._kept = self._kept, b""
        return self._count(kept)

    def _count(self, octets: bytes) -> bytes:
        self.size += len(octets)
        self._bare += octets.count(b"\n") - octets.count(b"\r\n")
        if self._last == b"\r" and octets.startswith(b"\n"):
            self._bare -= 1
        self._last = octets[-1:] or self._last
        return octets

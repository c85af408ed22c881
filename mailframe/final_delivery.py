"""FLOOR 6: the fields that final delivery adds to a message, and those it looks for.

RFC 5321 section 4.4: the last host adds Return-Path. Delivered-To marks the mailboxes that a
message has been delivered to, so a message that comes back to one of them is known to loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from .message import Content, Message, Recipient
from .mime import final_fields
from .mime.entity_checks import CannotConvert
from .mime.seven_bit import MAX_CONVERTED, Tolerance, re_encoded
from .smtp.address import Mailbox
from .smtp.reply import Reply

MAX_HEADER = 1 << 18  # octets of the header section that are looked at

LineEnds = Literal["lf", "crlf"]

#: What the exit statuses of a program that delivers mean (sysexits.h, as sendmail uses it).
SYSEXITS: Mapping[int, Reply] = {
    64: Reply(554, "Command line usage error", "5.3.5"),
    65: Reply(554, "Data format error", "5.6.0"),
    66: Reply(554, "Cannot open input", "5.3.0"),
    67: Reply(550, "User unknown", "5.1.1"),
    68: Reply(550, "Host name unknown", "5.1.2"),
    69: Reply(554, "Service unavailable", "5.3.0"),
    70: Reply(554, "Internal software error", "5.3.0"),
    71: Reply(451, "System resource problem", "4.3.0"),
    72: Reply(554, "Critical system file missing", "5.3.0"),
    73: Reply(554, "Cannot create output file", "5.2.0"),
    74: Reply(451, "Input/output error", "4.3.0"),
    75: Reply(451, "Temporary failure", "4.3.0"),
    76: Reply(554, "Remote error in protocol", "5.5.0"),
    77: Reply(554, "Permission denied", "5.7.0"),
    78: Reply(554, "Local configuration error", "5.3.5"),
    126: Reply(451, "The program that delivers cannot be run", "4.3.5"),
    127: Reply(451, "The program that delivers cannot be found", "4.3.5"),
}


def final_header(message: Message, recipient: Recipient, original_to: bool = False) -> bytes:
    """Return-Path, Delivered-To and, if wanted, X-Original-To: whole lines that end with CRLF."""
    sender = recipient.sender or message.envelope.sender
    return final_fields.final_fields(
        "" if sender is None else str(sender),
        str(recipient.address),
        str(recipient.original) if original_to else "",
    )


def forwarded(message: Message, aliases: Sequence[Mailbox]) -> Message:
    """The same message, marked as a copy that these aliases send out.

    A field with a non-ASCII address is left out if the next host might not take it.
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


def as_text(message: Message, line_ends: LineEnds) -> tuple[Content, LineEnds]:
    """The content to write, and its line ends, for mail that may be BODY=BINARYMIME.

    If lines end with LF, a CRLF within an image would be lost, so binary parts are re-encoded as
    lines (RFC 3030 section 3). If that is impossible, because the mail is signed, broken or larger
    than 32 MB, it is written octet for octet. All other mail stays as it is. Blocks for BINARYMIME
    mail. May raise OSError.
    """
    content = message.content
    if message.envelope.body != "BINARYMIME" or line_ends == "crlf":
        return content, line_ends
    if content.size > MAX_CONVERTED:
        return content, "crlf"
    with content.open() as source:
        octets = source.read()
    try:
        octets = re_encoded(octets, Tolerance(eight_bit=True, unicode=True))
    except CannotConvert:
        return content, "crlf"
    return Content(b"", octets, len(octets)), line_ends


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

"""Reads the header section as it streams by, and writes fields that cannot break out of it."""

from __future__ import annotations

import re

from ..settings import Limits
from ..smtp.reply import MAIL_LOOP, Reply

HEADER_TOO_BIG = Reply(552, "Header section exceeds the limit", "5.3.4")

MAX_LINE = 998  # octets without CRLF, RFC 5322 section 2.1.1
_LONGEST_NAME = 32  # octets of a partial line after which it is none of the fields we look for

_FIELD = re.compile(rb"\r\n(received|message-id|date)[ \t]*:", re.IGNORECASE)
_NAME = re.compile(r"[!-9;-~]{1,76}")
_BREAK = re.compile(r"\r\n|\r|\n")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x80-\x9f\u2028\u2029\ud800-\udfff]")


class HeaderScan:
    """Counts Received: fields and finds Message-ID: and Date:, chunk by chunk.

    Only the start of an unfinished line is kept, so that a header section without end costs
    no memory. `refusal` is the reply that the section earned, None while it is good; `ended`
    is True after the empty line.
    """

    __slots__ = (
        "_carry",
        "_limits",
        "ended",
        "has_date",
        "has_message_id",
        "hops",
        "lines",
        "refusal",
        "size",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._carry = b"\r\n"  # the line end before what comes
        self.size = 0
        self.lines = 0
        self.hops = 0
        self.has_message_id = False
        self.has_date = False
        self.ended = False
        self.refusal: Reply | None = None

    def feed(self, octets: bytes) -> None:
        """The next octets of the message; those behind the header section are not looked at."""
        if self.ended or self.refusal is not None:
            return
        carried = len(self._carry)
        section = self._carry + octets
        end = section.find(b"\r\n\r\n")
        if end >= 0:
            self.ended = True
            section = section[: end + 4]
            self.lines -= 1  # the empty one
        self.size += max(0, len(section) - carried)
        self.lines += section.count(b"\r\n") - self._carry.count(b"\r\n")
        for field in _FIELD.findall(section):
            self._found(field.lower())
        if not self.ended:
            self._carry = _unfinished(section)
        self._judge()

    def _found(self, field: bytes) -> None:
        if field == b"received":
            self.hops += 1
        elif field == b"date":
            self.has_date = True
        else:
            self.has_message_id = True

    def _judge(self) -> None:
        limits = self._limits
        if self.size > limits.header_size or self.lines > limits.header_lines:
            self.refusal = HEADER_TOO_BIG
        elif self.hops > limits.hops:
            self.refusal = MAIL_LOOP


def _unfinished(section: bytes) -> bytes:
    """What of the last line must be seen again with the next octets."""
    line = section[max(section.rfind(b"\r\n"), 0) :]
    if line.startswith(b"\r\n") and b":" not in line and len(line) <= _LONGEST_NAME:
        return line
    # Its field is known by now; only a CRLF cut in two still matters.
    return b"\r" if line.endswith(b"\r") else b""


def field_octets(text: str, smtputf8: bool) -> bytes | None:
    """A filter's "Name: value" as header lines ended by CRLF; None for what is no field.

    Folds are kept (a signature may cover them) and made real ones: a line break that white
    space does not follow cannot start a field of its own. Control characters go, non-ASCII
    becomes "?" where the message is not SMTPUTF8 (RFC 6532), lines over 998 octets fold.
    """
    name, colon, value = text.partition(":")
    if not colon or not _NAME.fullmatch(name):
        return None
    first, *folded = _BREAK.split(value)
    lines = [f"{name}:{first}", *(x if x[:1] in (" ", "\t") else f"\t{x}" for x in folded)]
    encoding = "utf-8" if smtputf8 else "ascii"
    cleaned = (_CONTROL.sub("", line) for line in lines)
    encoded = [line.encode(encoding, "replace") for line in cleaned if line.strip()]
    return b"".join(part + b"\r\n" for line in encoded for part in _fold(line))


def _fold(line: bytes) -> list[bytes]:
    """The line in pieces of 998 octets at most, cut at white space where there is any."""
    pieces = []
    while len(line) > MAX_LINE:
        cut = max(line.rfind(b" ", 1, MAX_LINE), line.rfind(b"\t", 1, MAX_LINE))
        if cut > 0 and line[:cut].strip():
            pieces.append(line[:cut])
            line = line[cut:]
        else:
            cut = MAX_LINE
            while line[cut] & 0xC0 == 0x80:  # not within a UTF-8 character
                cut -= 1
            pieces.append(line[:cut])
            line = b"\t" + line[cut:]
    return [*pieces, line]

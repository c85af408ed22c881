"""Messages for servers that take only 7-bit text: re-encoded by MIME's rules, or not at all.

What need not change stays as it was, octet for octet: only the bodies that hold other than
7-bit lines get a new Content-Transfer-Encoding (RFC 6152 section 3, RFC 2045 section 6).
"""

from __future__ import annotations

import binascii
import re
from base64 import encodebytes
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser

MAX_DEPTH = 30  # parts within parts
MAX_HEAD = 64 << 10  # octets of one header section: to parse its parameters takes their square
MAX_DELIMITERS = 10_000  # lines of a whole message that may divide parts
_MAX_LINE = 998  # octets without CRLF, RFC 5321 section 4.5.3.1.6
_NO_TEXT = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")
_LONG_LINE = re.compile(rb"[^\n]{%d}" % (_MAX_LINE + 2))
_ENCODING = re.compile(rb"^content-transfer-encoding[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*", re.I | re.M)
_SIGNED = frozenset({"multipart/signed", "multipart/encrypted"})
_ONCE = ("content-type", "content-transfer-encoding", "mime-version")
_IDENTITY = frozenset({"7bit", "8bit", "binary"})


class CannotConvert(ValueError):
    """The message cannot be re-encoded without harm; the text says why."""


@dataclass(frozen=True, slots=True)
class _Entity:
    """A message or a part: its header section with all line ends, and its body."""

    head: bytes
    body: bytes
    fields: Message

    @property
    def type(self) -> str:
        return self.fields.get_content_type()

    @property
    def encoding(self) -> str:
        return str(self.fields.get("content-transfer-encoding", "7bit")).strip().lower()


def to_seven_bit(octets: bytes) -> bytes:
    """The message as 7-bit text with lines of at most 998 octets. Raises CannotConvert.

    Signed and encrypted parts must not change (RFC 1847 section 2.1), header fields have no
    7-bit spelling that means the same, and broken MIME has no meaning to keep.
    """
    _check_parts(octets)
    return _converted(octets, 0)


def has_unicode_headers(octets: bytes) -> bool:
    """Whether header fields, of the message or of its parts, need SMTPUTF8 (RFC 6532)."""
    try:
        _check_parts(octets)
        return any(not entity.head.isascii() for entity in _walk(octets, 0))
    except CannotConvert:
        return not octets.isascii()


def _check_parts(octets: bytes) -> None:
    if octets.count(b"\r\n--") > MAX_DELIMITERS:
        raise CannotConvert("it has too many parts")


def _is_seven_bit(octets: bytes) -> bool:
    return octets.isascii() and not _NO_TEXT.search(octets) and not _LONG_LINE.search(octets)


def _converted(octets: bytes, depth: int) -> bytes:
    if _is_seven_bit(octets):
        return octets
    entity = _split(octets, depth)
    if not entity.head.isascii():
        raise CannotConvert("header fields hold octets that are not ASCII")
    if _NO_TEXT.search(entity.head):
        raise CannotConvert("a header section's lines do not end in CRLF")
    if entity.type in _SIGNED:
        raise CannotConvert("it is signed or encrypted")
    if entity.type.startswith(("multipart/", "message/")):
        if entity.encoding not in _IDENTITY:
            raise CannotConvert("a composite part is encoded (RFC 2045 section 6.4)")
        head = _ENCODING.sub(b"", entity.head)
        return head + _composite(entity, depth)
    return _leaf(entity, is_message=depth == 0)


def _composite(entity: _Entity, depth: int) -> bytes:
    if entity.type == "message/rfc822":
        return b"\r\n" + _converted(entity.body, depth + 1)
    if entity.type.startswith("message/") or entity.type == "multipart/digest":
        raise CannotConvert(f"a part of type {entity.type} has to stay as it is")
    pieces = _pieces(entity)
    for at, (is_part, octets) in enumerate(pieces):
        if is_part:
            pieces[at] = (True, _converted(octets, depth + 1))
        elif not _is_seven_bit(octets):
            raise CannotConvert("there is other than ASCII between the parts")
    return b"\r\n" + b"".join(octets for _, octets in pieces)


def _leaf(entity: _Entity, is_message: bool) -> bytes:
    if entity.encoding not in _IDENTITY:
        raise CannotConvert("an encoded body holds what the encoding forbids")
    head = _ENCODING.sub(b"", entity.head)
    if is_message and "mime-version" not in entity.fields:
        if "content-type" in entity.fields:
            raise CannotConvert("it has a Content-Type and no MIME-Version")
        # RFC 1428 section 3: 8-bit text of no known character set.
        head += b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"
    if _NO_TEXT.search(entity.body) or entity.fields.get_content_maintype() != "text":
        coded = encodebytes(entity.body).replace(b"\n", b"\r\n")
        return head + b"Content-Transfer-Encoding: base64\r\n\r\n" + coded
    # b2a_qp keeps the line ends that it finds, as text has to.
    coded = binascii.b2a_qp(entity.body, istext=True)
    return head + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + coded


def _split(octets: bytes, depth: int) -> _Entity:
    if depth > MAX_DEPTH:
        raise CannotConvert("parts are nested too deeply")
    if octets.startswith(b"\r\n"):
        head, body = b"", octets[2:]
    else:
        at = octets.find(b"\r\n\r\n")
        if at < 0:
            head, body = octets, b""
            if not head.endswith(b"\r\n"):
                raise CannotConvert("a header section does not end")
        else:
            head, body = octets[: at + 2], octets[at + 4 :]
    if len(head) > MAX_HEAD:
        raise CannotConvert("a header section is too large")
    fields = BytesHeaderParser().parsebytes(head)
    if fields.defects or fields.get_payload() or any(len(fields.get_all(n, [])) > 1 for n in _ONCE):
        raise CannotConvert("a header section is broken")
    return _Entity(head, body, fields)


def _pieces(entity: _Entity) -> list[tuple[bool, bytes]]:
    """The body cut up: parts (True), and what is between them (False) with its delimiters."""
    boundary = entity.fields.get_boundary()
    if not boundary or not boundary.isascii():
        raise CannotConvert("a multipart has no boundary")
    # RFC 2046 section 5.1.1: the CRLF before the delimiter belongs to the delimiter.
    delimiter = re.compile(
        rb"(?:\A|\r\n)--" + re.escape(boundary.encode()) + rb"(--)?[ \t]*(?:\r\n|\Z)"
    )
    pieces: list[tuple[bool, bytes]] = []
    end, is_part, closed = 0, False, False
    for found in delimiter.finditer(entity.body):
        pieces.append((is_part, entity.body[end : found.start()]))
        pieces.append((False, found.group()))
        end, is_part, closed = found.end(), True, found.group(1) is not None
        if closed:
            break
        if entity.body.startswith(b"--" + boundary.encode(), end):
            raise CannotConvert("a part is not even empty")
    if not closed:
        raise CannotConvert("a multipart does not end")
    pieces.append((False, entity.body[end:]))
    return pieces


def _walk(octets: bytes, depth: int) -> Iterator[_Entity]:
    entity = _split(octets, depth)
    yield entity
    if entity.type.startswith("multipart/"):
        for is_part, piece in _pieces(entity):
            if is_part:
                yield from _walk(piece, depth + 1)
    elif entity.type in ("message/rfc822", "message/global"):
        yield from _walk(entity.body, depth + 1)

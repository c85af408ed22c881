"""Re-encodes messages for servers that take only 7-bit text, by MIME's rules.

What need not change stays as it was, octet for octet. Only bodies that are not made of 7-bit lines
get a new Content-Transfer-Encoding (RFC 6152 section 3, RFC 2045 section 6).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from . import header
from .encoding import base64_lines, quoted_printable
from .parts import Entity, Piece, cut
from .write import MAX_LINE, fold

MAX_DEPTH = 30  # parts within parts
MAX_HEAD = 64 << 10  # octets of one header section
MAX_DELIMITERS = 10_000  # lines in a whole message that look like delimiters
_NO_TEXT = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")
_LONG_LINE = re.compile(rb"[^\r\n]{%d}" % (MAX_LINE + 1))
_ENCODING = b"content-transfer-encoding"
_ONCE = (b"content-type", _ENCODING, b"mime-version")
_SIGNED = frozenset({"multipart/signed", "multipart/encrypted"})
_IDENTITY = frozenset({"7bit", "8bit", "binary"})


class CannotConvert(ValueError):
    """The message cannot be re-encoded without harm; the text says why."""


def to_seven_bit(octets: bytes) -> bytes:
    """The message as 7-bit text with lines of at most 998 octets. Raises CannotConvert.

    Signed and encrypted parts must not change (RFC 1847 section 2.1). Header fields have no 7-bit
    form with the same meaning. Broken MIME has no meaning that could be kept.
    """
    _check_parts(octets)
    return _converted(octets, 0)


def has_unicode_headers(octets: bytes) -> bool:
    """True if header fields of the message or of its parts need SMTPUTF8 (RFC 6532)."""
    try:
        _check_parts(octets)
        return any(not entity.head.isascii() for entity in _walk(octets, 0))
    except CannotConvert:
        return not octets.isascii()


def is_seven_bit(octets: bytes) -> bool:
    """True if these are lines of at most 998 octets of ASCII, ended by CRLF, without NUL."""
    return octets.isascii() and not _NO_TEXT.search(octets) and not _LONG_LINE.search(octets)


def _check_parts(octets: bytes) -> None:
    if octets.count(b"\r\n--") > MAX_DELIMITERS:
        raise CannotConvert("it has too many parts")


def _converted(octets: bytes, depth: int) -> bytes:
    if is_seven_bit(octets):
        return octets
    entity = _entity(octets, depth)
    if not entity.head.isascii():
        raise CannotConvert("header fields hold octets that are not ASCII")
    if _NO_TEXT.search(entity.head + entity.gap):
        raise CannotConvert("a header section's lines do not end in CRLF")
    if _LONG_LINE.search(entity.head):
        entity = Entity.of(_folded(entity.head) + entity.gap + entity.body)
    kind = entity.type
    if kind.type in _SIGNED:
        raise CannotConvert("it is signed or encrypted")
    if kind.main in ("multipart", "message"):
        if entity.encoding not in _IDENTITY:
            raise CannotConvert("a composite part is encoded (RFC 2045 section 6.4)")
        return entity.without(_ENCODING) + b"\r\n" + _composite(entity, depth)
    return _leaf(entity, is_message=depth == 0)


def _folded(head: bytes) -> bytes:
    """The header section with its too long lines folded at white space, which changes nothing."""
    lines = []
    for line in head.split(b"\r\n"):
        pieces = fold(line)
        if b"".join(pieces) != line:
            raise CannotConvert("a line of a header section is too long")
        lines += pieces
    return b"\r\n".join(lines)


def _composite(entity: Entity, depth: int) -> bytes:
    """The body of a multipart or of a message in a message."""
    kind = entity.type
    if kind.type == "message/rfc822":
        return _converted(entity.body, depth + 1)
    if kind.main == "message" or kind.type == "multipart/digest":
        raise CannotConvert(f"a part of type {kind.type} has to stay as it is")
    converted = []
    for is_part, octets in _pieces(entity):
        if is_part:
            converted.append(_converted(octets, depth + 1))
        elif is_seven_bit(octets):
            converted.append(octets)
        else:
            raise CannotConvert("there is other than ASCII between the parts")
    return b"".join(converted)


def _leaf(entity: Entity, is_message: bool) -> bytes:
    if entity.encoding not in _IDENTITY:
        raise CannotConvert("an encoded body holds what the encoding forbids")
    head = entity.without(_ENCODING)
    if is_message and not entity.count(b"mime-version"):
        if entity.count(b"content-type"):
            raise CannotConvert("it has a Content-Type and no MIME-Version")
        # RFC 1428 section 3: 8-bit text in an unknown character set.
        head += b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"
    if _NO_TEXT.search(entity.body) or entity.type.main != "text":
        return head + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64_lines(entity.body)
    coded = quoted_printable(entity.body)
    return head + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + coded


def _entity(octets: bytes, depth: int) -> Entity:
    """The message or part. CannotConvert if its header section cannot be understood."""
    if depth > MAX_DEPTH:
        raise CannotConvert("parts are nested too deeply")
    entity = Entity.of(octets)
    if not entity.gap and not entity.head.endswith(b"\r\n"):
        raise CannotConvert("a header section does not end")
    if len(entity.head) > MAX_HEAD:
        raise CannotConvert("a header section is too large")
    # A line "From …" of an mbox file on top hides no field.
    top = entity.head.startswith(b"From ") and not header.is_field(entity.head)
    if entity.count(b"") > top or any(entity.count(name) > 1 for name in _ONCE):
        raise CannotConvert("a header section is broken")
    return entity


def _pieces(entity: Entity) -> list[Piece]:
    """A multipart's body cut into pieces. CannotConvert if its parts cannot be told for certain."""
    boundary = entity.type.boundary
    if boundary is None or not boundary.isascii():
        raise CannotConvert("a multipart has no boundary")
    multipart = cut(entity.body, boundary)
    if multipart.tight:
        raise CannotConvert("a part is not even empty")
    if not multipart.closed:
        raise CannotConvert("a multipart does not end")
    return multipart.pieces


def _walk(octets: bytes, depth: int) -> Iterator[Entity]:
    entity = _entity(octets, depth)
    yield entity
    if entity.type.main == "multipart":
        for is_part, piece in _pieces(entity):
            if is_part:
                yield from _walk(piece, depth + 1)
    elif entity.type.type in ("message/rfc822", "message/global"):
        yield from _walk(entity.body, depth + 1)

"""Messages and parts that may be re-encoded: those that every reader understands in one way."""

from __future__ import annotations

import re

from . import header
from .parts import Entity, Piece, cut

MAX_DEPTH = 30  # parts within parts
MAX_HEAD = 64 << 10  # octets of one header section

_MBOX = re.compile(rb">?From ")


class CannotConvert(ValueError):
    """The message cannot be re-encoded without harm; the text says why."""


class IsSigned(CannotConvert):
    """It is signed or encrypted, and what it covers would have to change."""


class NeedsUnicode(CannotConvert):
    """An address in a header field has no spelling in ASCII: it takes SMTPUTF8 (RFC 6532)."""


def checked_entity(octets: bytes, depth: int, is_message: bool) -> Entity:
    """The message or part, if its header section can be understood. Raises CannotConvert.

    A line of an mbox file on top of a message hides no field, and fields that stand there twice
    do no harm if it is all one which of them is read.
    """
    if depth > MAX_DEPTH:
        raise CannotConvert("parts are nested too deeply")
    entity = Entity.of(octets)
    if not entity.gap and not entity.head.endswith(b"\r\n"):
        raise CannotConvert("a header section does not end")
    if len(entity.head) > MAX_HEAD:
        raise CannotConvert("a header section is too large")
    top = is_message and _MBOX.match(entity.head) and not header.is_field(entity.head)
    if entity.count(b"") > bool(top):
        raise CannotConvert("a header section is broken")
    types, encodings = entity.types, entity.encodings
    if len(types) > 1 and any(kind.main in ("multipart", "message") for kind in types):
        raise CannotConvert("it has several types")
    if len(encodings) > 1 and not encodings.isdisjoint({"quoted-printable", "base64"}):
        raise CannotConvert("it has several encodings")
    return entity


def checked_pieces(entity: Entity) -> list[Piece]:
    """A multipart's body cut up, if its parts can be told for certain. Raises CannotConvert.

    The last part of a message that was cut off goes on to its end.
    """
    boundary = entity.type.boundary
    if boundary is None or not boundary.isascii():
        raise CannotConvert("a multipart has no boundary")
    multipart = cut(entity.body, boundary)
    if multipart.tight:
        raise CannotConvert("a part is not even empty")
    if len(multipart.pieces) == 1:
        raise CannotConvert("a multipart has no parts")
    return multipart.pieces

"""Checks if a message or part may be re-encoded: only if all readers understand it alike."""

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
    """The message is signed or encrypted, and the part that is protected would have to change."""


class NeedsUnicode(CannotConvert):
    """An address in a header field cannot be written in ASCII, and needs SMTPUTF8 (RFC 6532)."""


def checked_entity(octets: bytes, depth: int, is_message: bool) -> Entity:
    """The message or part, if its header section is clear. Raises CannotConvert.

    A "From …" line of an mbox file on top of a message is allowed. A repeated field is allowed if
    it does not matter which one is read.
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
    """The pieces of a multipart's body, if they are clear. Raises CannotConvert.

    If a message was cut off, its last part goes on to the end.
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

"""Cuts messages into their parts; the octets of all parts together are the message."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from . import header
from .header import Field
from .parameters import ContentType, content_type, transfer_encoding


@dataclass(frozen=True, slots=True)
class Entity:
    """A message or one of its parts (RFC 2045 section 2.4).

    `head` is its header section with all line ends, `gap` the empty line after it (b"" if there is
    none), and `body` the rest; together they are its octets. `fields` are the fields in `head`.
    """

    head: bytes
    gap: bytes
    body: bytes
    fields: tuple[Field, ...]

    @classmethod
    def of(cls, octets: bytes) -> Entity:
        """The entity that these octets are. Never raises."""
        head, gap, body = header.split(octets)
        return cls(head, gap, body, tuple(header.read(head)))

    def count(self, name: bytes) -> int:
        """The number of fields of this name, in lower case."""
        return sum(field.key == name for field in self.fields)

    def value(self, name: bytes) -> bytes | None:
        """The raw value of the first field of this name, in lower case; None if there is none."""
        return next((field.value for field in self.fields if field.key == name), None)

    def without(self, name: bytes) -> bytes:
        """The header section without the fields of this name, in lower case."""
        return b"".join(self.head[f.start : f.end] for f in self.fields if f.key != name)

    @property
    def type(self) -> ContentType:
        """The type of its body, from its Content-Type."""
        return content_type(self.value(b"content-type"))

    @property
    def encoding(self) -> str:
        """Its Content-Transfer-Encoding in lower case; "7bit" if there is none."""
        return transfer_encoding(self.value(b"content-transfer-encoding"))

    @property
    def types(self) -> frozenset[ContentType]:
        """The types in all its Content-Type fields. There should be only one."""
        values = (field.value for field in self.fields if field.key == b"content-type")
        return frozenset(content_type(value) for value in values)

    @property
    def encodings(self) -> frozenset[str]:
        """The encodings in all its Content-Transfer-Encoding fields. There should be only one."""
        values = (f.value for f in self.fields if f.key == b"content-transfer-encoding")
        return frozenset(transfer_encoding(value) for value in values)


class Piece(NamedTuple):
    """Some octets of a multipart's body: a part, or what is between the parts."""

    is_part: bool
    octets: bytes


class Multipart(NamedTuple):
    """A multipart's body cut into pieces (RFC 2046 section 5.1.1).

    `pieces` are in order and include the delimiters with their line ends; together they are the
    body. `closed` is False if there is no closing delimiter; then the last part goes on to the end.
    `tight` is True if one delimiter directly follows another, without even an empty part between
    them.
    """

    pieces: list[Piece]
    closed: bool
    tight: bool

    @property
    def parts(self) -> list[bytes]:
        """The octets of the parts, in order."""
        return [piece.octets for piece in self.pieces if piece.is_part]


def cut(body: bytes, boundary: bytes) -> Multipart:
    """Cut the body of a multipart at its delimiters. Never raises.

    Lines end with CRLF, and the CRLF before a delimiter belongs to the delimiter.
    """
    delimiter = re.compile(
        rb"(?:\A|\r\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?:\r\n|\Z)",
    )
    pieces: list[Piece] = []
    end, is_part, closed, tight = 0, False, False, False
    for found in delimiter.finditer(body):
        pieces.append(Piece(is_part, body[end : found.start()]))
        pieces.append(Piece(False, found.group()))
        end, is_part, closed = found.end(), True, found.group(1) is not None
        if closed:
            break
        tight = tight or body.startswith(b"--" + boundary, end)
    pieces.append(Piece(is_part and not closed, body[end:]))
    return Multipart(pieces, closed, tight)

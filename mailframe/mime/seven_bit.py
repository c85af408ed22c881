"""Re-encodes messages by MIME's rules for servers that do not take them as they are.

Everything that need not change stays the same, octet for octet. Only bodies that the server does
not take get a new Content-Transfer-Encoding (RFC 6152 section 3, RFC 2045 section 6), and only such
header fields are rewritten (RFC 2047, RFC 2231).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .ascii_fields import SpellDomain, ascii_value
from .encoded_words import charset_of
from .encoding import base64_clean, base64_lines, plain_of, quoted_printable
from .entity_checks import MAX_DEPTH, CannotConvert, IsSigned, checked_entity, checked_pieces
from .header import read
from .lines import LineScan, broken
from .parts import Entity
from .write import fold

MAX_CONVERTED = 32 << 20  # octets; re-encoding needs the message in memory, three times over
MAX_SPELLED = 256 << 10  # octets of header fields, and of text like them, that are rewritten
MAX_HELD = 3 * MAX_CONVERTED  # octets of a message, its parts, and their parts
MAX_DELIMITERS = 10_000  # lines in a whole message that may be delimiters
_NO_TEXT = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")
_EIGHT_BIT = re.compile(rb"[\x80-\xff]")
_ENCODING = b"content-transfer-encoding"
_BASE64 = b"Content-Transfer-Encoding: base64\r\n\r\n"
_QUOTED_PRINTABLE = b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
_RETURNED = b'Content-Type: application/octet-stream; name="message.eml"\r\n'
_SIGNED = frozenset({"multipart/signed", "multipart/encrypted"})
_IDENTITY = frozenset({"7bit", "8bit", "binary"})
# Blocks of fields for programs (RFC 3464, RFC 8098, RFC 5965); no encoding is allowed there.
_OF_FIELDS = frozenset(
    {"message/delivery-status", "message/disposition-notification", "message/feedback-report"}
)
# RFC 6532 section 3.7, RFC 6533: any encoding is allowed, and these are expected to have UTF-8.
_GLOBAL = "message/global"


class Tolerance(NamedTuple):
    """What a server takes besides ASCII in lines of at most 998 octets."""

    eight_bit: bool = False  # in bodies (8BITMIME)
    unicode: bool = False  # 8-bit octets in header fields too


def to_seven_bit(octets: bytes, spell_domain: SpellDomain | None = None) -> bytes:
    """The message as 7-bit text with lines of at most 998 octets. Raises like re_encoded."""
    return re_encoded(octets, Tolerance(), spell_domain)


def re_encoded(
    octets: bytes, tolerance: Tolerance, spell_domain: SpellDomain | None = None
) -> bytes:
    """The message in a form that a server of this tolerance takes; unchanged if possible.

    `spell_domain` gives a domain in A-labels, for addresses in header fields. Raises CannotConvert:
    IsSigned for signed and encrypted parts, which must not change (RFC 1847 section 2.1);
    NeedsUnicode for addresses that only SMTPUTF8 can carry; and the class itself for broken MIME,
    whose meaning is not clear.
    """
    if octets.count(b"\r\n--") > MAX_DELIMITERS:
        raise CannotConvert("it has too many parts")
    return _Conversion(tolerance, spell_domain or _no_domain).converted(octets, 0)


def with_ascii_head(octets: bytes, spell_domain: SpellDomain) -> bytes:
    """The message with its own header section in ASCII, and the rest unchanged.

    For a message whose parts are not clear. Raises CannotConvert.
    """
    entity = Entity.of(octets)
    head = _Conversion(Tolerance(eight_bit=True), spell_domain).head(entity.head)
    return head + entity.gap + entity.body


def is_signed(section: bytes) -> bool:
    """True if this is the header section of a message that is signed or encrypted as a whole."""
    return Entity.of(section).type.type in _SIGNED


def _no_domain(domain: str) -> str:
    if not domain.isascii():
        raise ValueError(f"{domain!r} cannot be spelled in ASCII")
    return domain


class _Conversion:
    """Re-encodes one message."""

    def __init__(self, tolerance: Tolerance, spell_domain: SpellDomain) -> None:
        self._tolerance = tolerance
        self._spell_domain = spell_domain
        self._spelled = 0
        self._held = 0

    def converted(
        self, octets: bytes, depth: int, is_message: bool = True, default: str = ""
    ) -> bytes:
        """A message or part; `default` is its type if it does not say one."""
        if self._fits(octets, self._tolerance.unicode):
            return octets
        self._held += len(octets)
        try:
            if self._held > MAX_HELD:
                raise CannotConvert("large parts are nested too deeply")
            return self._changed(octets, depth, is_message, default)
        finally:
            self._held -= len(octets)

    def _changed(self, octets: bytes, depth: int, is_message: bool, default: str) -> bytes:
        entity = checked_entity(octets, depth, is_message)
        if _NO_TEXT.search(entity.head + entity.gap):
            raise CannotConvert("a header section's lines do not end in CRLF")
        entity = Entity.of(self.head(entity.head) + entity.gap + entity.body)
        kind = entity.type.type
        if default and not entity.count(b"content-type"):
            kind = default
        if self._is_composite(kind):
            return self._with_body(entity, self._composite(entity, kind, depth))
        if self._fits(entity.body, True):
            return entity.head + entity.gap + entity.body
        return self._leaf(entity, kind, is_message)

    def _fits(self, octets: bytes, eight_bit: bool) -> bool:
        """True if these may stay: short lines that end with CRLF, and ASCII unless `eight_bit`."""
        scan = LineScan.of(octets)
        if scan.long or not (scan.ascii or (eight_bit and self._tolerance.eight_bit)):
            return False
        return not _NO_TEXT.search(octets)

    @staticmethod
    def _is_composite(kind: str) -> bool:
        main = kind.partition("/")[0]
        return main == "multipart" or (main == "message" and not kind.startswith(_GLOBAL))

    def head(self, head: bytes) -> bytes:
        """A header section, or fields like one, folded, and in ASCII if necessary."""
        if head.isascii() and not LineScan.of(head).long:
            return head
        self._count(head)
        fields = []
        for field in read(head):
            octets = head[field.start : field.end]
            if not (octets.isascii() or self._tolerance.unicode):
                if not field.name:  # the "From …" line of an mbox file on top
                    octets = _EIGHT_BIT.sub(b"?", octets)
                else:
                    octets = field.name + b":" + ascii_value(field, self._spell_domain)
            if LineScan.of(octets).long:
                octets = _folded(octets, may_cut=not field.key.startswith(b"content-"))
            fields.append(octets)
        return b"".join(fields)

    def _count(self, octets: bytes) -> None:
        """Limit the octets that are rewritten one by one, which takes time."""
        self._spelled += len(octets)
        if self._spelled > MAX_SPELLED:
            raise CannotConvert("it has too much that is not ASCII outside its bodies")

    def _with_body(self, entity: Entity, body: bytes) -> bytes:
        """A composite with its new body, and with the encoding that this body has."""
        if body == entity.body:
            return entity.head + entity.gap + body
        if self._tolerance.eight_bit and entity.encoding in _IDENTITY:
            return entity.head + b"\r\n" + body
        return entity.without(_ENCODING) + b"\r\n" + body

    def _composite(self, entity: Entity, kind: str, depth: int) -> bytes:
        """The body of a multipart or of a message in a message."""
        if self._fits(entity.body, self._tolerance.unicode):
            return entity.body
        if kind in _SIGNED:
            self._check_signed(entity, depth)
            return entity.body
        if kind.startswith("multipart/"):
            return self._parts(entity, kind, depth)
        if entity.encoding not in _IDENTITY:
            raise CannotConvert("a composite part is encoded (RFC 2045 section 6.4)")
        if kind == "message/rfc822":
            return self.converted(entity.body, depth + 1)
        if kind in _OF_FIELDS and not _NO_TEXT.search(entity.body):
            return b"\r\n\r\n".join(self.head(block) for block in entity.body.split(b"\r\n\r\n"))
        raise CannotConvert(f"a part of type {kind} has to stay as it is")

    def _check_signed(self, entity: Entity, depth: int) -> None:
        """Raise IsSigned if anything in the part would have to change."""
        try:
            if self._parts(entity, "multipart/signed", depth) == entity.body:
                return
        except CannotConvert as wrong:
            raise IsSigned("it is signed or encrypted") from wrong
        raise IsSigned("it is signed or encrypted")

    def _parts(self, entity: Entity, kind: str, depth: int) -> bytes:
        default = "message/rfc822" if kind == "multipart/digest" else ""
        pieces = checked_pieces(entity)
        converted = []
        for number, (is_part, octets) in enumerate(pieces):
            if is_part:
                converted.append(self._part(octets, kind, depth + 1, default))
            elif self._fits(octets, True):
                converted.append(octets)
            elif 0 < number < len(pieces) - 1 or _NO_TEXT.search(octets):
                raise CannotConvert("what divides the parts is not text")
            else:
                # RFC 2046 section 5.1.1: readers must not show it, and it cannot have an encoding.
                converted.append(broken(self._spelled_out(octets)))
        return b"".join(converted)

    def _part(self, octets: bytes, within: str, depth: int, default: str) -> bytes:
        try:
            return self.converted(octets, depth, False, default)
        except CannotConvert:
            entity = Entity.of(octets)
            if within != "multipart/report" or entity.type.main != "message" or depth > MAX_DEPTH:
                raise
            # The message that a report returns must not prevent its delivery (RFC 6522 section 3).
            return _RETURNED + _BASE64 + base64_lines(entity.body)

    def _spelled_out(self, octets: bytes) -> bytes:
        if self._tolerance.eight_bit:
            return octets
        self._count(octets)
        return _EIGHT_BIT.sub(lambda found: b"=%02X" % found.group()[0], octets)

    def _leaf(self, entity: Entity, kind: str, is_message: bool) -> bytes:
        head = entity.without(_ENCODING)
        if is_message and not entity.count(b"mime-version"):
            head += b"MIME-Version: 1.0\r\n"
        if is_message and not entity.count(b"content-type"):
            head += b"Content-Type: text/plain; charset=" + _charset(entity.body) + b"\r\n"
        encoding, body = entity.encoding, entity.body
        if encoding == "base64":
            return head + _BASE64 + broken(base64_clean(body))
        plain = plain_of(encoding, body)
        if plain is None:
            raise CannotConvert("an encoded body holds what the encoding forbids")
        if kind.startswith("text/") and not _NO_TEXT.search(plain):
            coded = quoted_printable(plain)
            # A line that the encoding broke must not look like a delimiter.
            if coded.count(b"\r\n--") == plain.count(b"\r\n--"):
                return head + _QUOTED_PRINTABLE + coded
        return head + _BASE64 + base64_lines(plain)


def _folded(octets: bytes, may_cut: bool) -> bytes:
    """A field with its long lines folded, at white space if there is any.

    Raises CannotConvert if there is none and the field may not be cut elsewhere.
    """
    lines: list[bytes] = []
    for line in octets.split(b"\r\n"):
        pieces = fold(line)
        if not may_cut and b"".join(pieces) != line:
            raise CannotConvert("a line of a header section is too long")
        # A line of white space alone could be taken for the empty line.
        lines += pieces[:1] + [piece for piece in pieces[1:] if piece.strip()]
    return b"\r\n".join(lines)


def _charset(text: bytes) -> bytes:
    """The character set for text that does not name one (RFC 1428 section 3)."""
    return b"us-ascii" if text.isascii() else charset_of(text).encode()

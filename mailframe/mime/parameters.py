"""Content-Type, Content-Disposition and Content-Transfer-Encoding (RFC 2045, 2183, 2231).

Mail is full of values that no grammar allows, so everything is read as far as possible. Nothing
here raises, and everything takes time in proportion to the octets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from .header import unfold

MAX_PARAMETERS = 200  # in one field; further ones are ignored

# A quoted string, or the start of a comment.
_OPENING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|\\.|(?:\A|(?<=[ \t;)]))\(', re.DOTALL)
_COMMENT_EDGE = re.compile(rb"\\.|[()]", re.DOTALL)
_TYPE = re.compile(rb"[ \t]*([^\x00-\x20\x7f()<>@,;:\\\"/\[\]?=]+)[ \t]*")
_QUOTED = re.compile(rb'[ \t]*"([^"\\]*(?:\\.[^"\\]*)*)"?', re.DOTALL)
_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_EXTENDED = re.compile(rb"([^*]+)(?:\*(\d{1,3}))?(\*)?")

Parameters = tuple[tuple[bytes, bytes], ...]


class ContentType(NamedTuple):
    """The type of a body. `type` is in lower case, and "text/plain" if the field is absent or
    broken.

    `parameters` have names in lower case and values without their quotes. They are as they stand in
    the field: those that RFC 2231 splits or encodes are still split and encoded.
    """

    type: str = "text/plain"
    parameters: Parameters = ()

    @property
    def main(self) -> str:
        """The type without its subtype: "text", "multipart", "message", …"""
        return self.type.partition("/")[0]

    @property
    def boundary(self) -> bytes | None:
        """The delimiter of the parts of a multipart.

        None if there is none (RFC 2046 section 5.1.1).
        """
        for name, value, _ in _joined(self.parameters):
            if name == b"boundary":
                # No boundary ends in white space.
                return value.rstrip(b" \t") or None
        return None

    @property
    def texts(self) -> dict[str, str]:
        """The parameters as people read them: joined and decoded (RFC 2231)."""
        return decoded(self.parameters)


def content_type(value: bytes | None) -> ContentType:
    """Read a Content-Type field; None for a message without that field.

    RFC 2045 section 5.2: if the field is absent or broken, the type is text/plain. Never raises.
    """
    if value is None:
        return ContentType()
    kind, parameters = read(value)
    main, slash, sub = kind.partition("/")
    return ContentType(kind, parameters) if main and slash and sub else ContentType()


def transfer_encoding(value: bytes | None) -> str:
    """Read a Content-Transfer-Encoding field; in lower case, "7bit" for None."""
    if value is None:
        return "7bit"
    return without_comments(unfold(value)).strip(b" \t").decode("ascii", "replace").lower()


def read(value: bytes) -> tuple[str, Parameters]:
    """The word or type at the start of a value, in lower case, and the parameters after it.

    Names are in lower case and in order; if a name is repeated, its first parameter counts. A value
    that is not quoted ends at the next semicolon, so it may contain blanks and "=".
    """
    text = without_comments(unfold(value))
    kind, at = b"", 0
    if found := _TYPE.match(text):
        kind, at = found[1], found.end()
        if text[at : at + 1] == b"/" and (found := _TYPE.match(text, at + 1)):
            kind, at = kind + b"/" + found[1], found.end()
    return kind.lower().decode("ascii", "replace"), _parameters(text, at)


def _parameters(text: bytes, at: int) -> Parameters:
    parameters: dict[bytes, bytes] = {}
    for _ in range(MAX_PARAMETERS):
        at = text.find(b";", at) + 1
        if not at:
            break
        semicolon = text.find(b";", at)
        stop = len(text) if semicolon < 0 else semicolon
        equals = text.find(b"=", at, stop)
        if equals < 0:
            at = stop
            continue
        name = text[at:equals].strip(b" \t").lower()
        if quoted := _QUOTED.match(text, equals + 1):
            value, at = _PAIR.sub(rb"\1", quoted[1]), quoted.end()
        else:
            value, at = text[equals + 1 : stop].strip(b" \t"), stop
        if name:
            parameters.setdefault(name, value)
    return tuple(parameters.items())


def without_comments(text: bytes) -> bytes:
    """An unfolded value with a blank in place of each comment (RFC 5322 section 3.2.2).

    Quoted strings stay. A parenthesis within a word stays too, because many programs write it into
    values that should have been quoted. A comment without an end goes on to the end of the value.
    """
    if b"(" not in text:
        return text
    kept: list[bytes] = []
    start = at = 0
    while found := _OPENING.search(text, at):
        at = found.end()
        if found.group() == b"(":
            kept.append(text[start : found.start()])
            start = at = _after_comment(text, found.start())
    return b" ".join([*kept, text[start:]])


def _after_comment(text: bytes, at: int) -> int:
    """The position after the comment that begins here."""
    depth = 0
    for edge in _COMMENT_EDGE.finditer(text, at):
        depth += {b"(": 1, b")": -1}.get(edge.group(), 0)
        if depth == 0:
            return edge.end()
    return len(text)


def decoded(parameters: Parameters) -> dict[str, str]:
    """The parameters as people read them, by name.

    RFC 2231 section 3: values in several pieces (`name*0`, `name*1`) are joined. Section 4: octets
    after a character set (`name*=utf-8''%c3%bc`) are decoded. Octets that cannot be decoded become
    U+FFFD. An encoded value is preferred to a plain one of the same name.
    """
    texts: dict[str, str] = {}
    for name, octets, charset in _joined(parameters):
        texts.setdefault(name.decode("ascii", "replace"), _text(octets, charset))
    return texts


def _joined(parameters: Parameters) -> Iterable[tuple[bytes, bytes, bytes]]:
    """Name, octets and character set (b"" for none) of each parameter, encoded ones first."""
    plain: list[tuple[bytes, bytes, bytes]] = []
    pieces: dict[bytes, dict[int, tuple[bytes, bool]]] = {}
    for name, value in parameters:
        found = _EXTENDED.fullmatch(name) if b"*" in name else None
        if found is None:
            plain.append((name, value, b""))
        else:
            number = int(found[2]) if found[2] else 0
            pieces.setdefault(found[1], {}).setdefault(number, (value, bool(found[3])))
    whole = [(name, *_whole(numbered)) for name, numbered in pieces.items() if 0 in numbered]
    return [*whole, *plain]


def _whole(numbered: dict[int, tuple[bytes, bool]]) -> tuple[bytes, bytes]:
    """The octets of all pieces before the first that is missing, and their character set."""
    charset, octets = b"", []
    for number in range(len(numbered)):
        if number not in numbered:
            break
        value, encoded = numbered[number]
        if encoded:
            if number == 0 and value.count(b"'") >= 2:
                charset, _, value = value.split(b"'", 2)
            value = _PERCENT.sub(lambda found: bytes.fromhex(found[1].decode()), value)
        octets.append(value)
    return b"".join(octets), charset


def _text(octets: bytes, charset: bytes) -> str:
    try:
        return octets.decode(charset.decode("ascii") or "utf-8", "replace")
    # An unknown character set, or a codec of Python's that is none.
    except (LookupError, ValueError):
        return octets.decode("utf-8", "replace")

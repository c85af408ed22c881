"""Rewrites header fields with raw 8-bit octets in ASCII (RFC 2047, RFC 2231).

ASCII in them stays as it was, except for folds. A non-ASCII address cannot be written in ASCII,
unless only its domain is non-ASCII: it needs SMTPUTF8 (RFC 6532).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from . import parameters
from .encoded_words import charset_of, encode_among, percent
from .entity_checks import NeedsUnicode
from .header import Field, unfold

#: Gives a domain in A-labels; raises ValueError if it has none (RFC 5890).
SpellDomain = Callable[[str], str]

_ADDRESSES = frozenset(
    prefix + name
    for prefix in (b"", b"resent-")
    for name in (b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc")
) | {b"disposition-notification-to", b"return-path", b"delivered-to", b"errors-to"}
_PARAMETERS = frozenset({b"content-type", b"content-disposition"})
_MAX_VALUE = 500  # octets in one piece of an encoded parameter

_WORDS = re.compile(rb"([ \t]*)([^ \t]+)")
_STRUCTURE = re.compile(
    rb'(?P<space>[ \t]*)(?:(?P<quoted>"(?:[^"\\]|\\.)*"(?!@))|(?P<comment>\()'
    rb'|(?P<angle><(?:"(?:[^"\\]|\\.)*"|[^"<>])*>)|(?P<special>[,:;])'
    rb'|(?P<atom>(?:"(?:[^"\\]|\\.)*"@)?[^ \t"(<,:;]+|.))'
)
_NAMES_ANOTHER = re.compile(rb"[^,:;<>]{0,998}<")  # what comes before it is a name, not an address
# The same after a quotation mark that is never closed, and so is an ordinary character.
_UNQUOTED = re.compile(
    rb"(?P<space>[ \t]*)(?:(?P<comment>\()|(?P<angle><[^<>]*>)|(?P<special>[,:;])"
    rb"|(?P<atom>[^ \t(<,:;]+|.))"
)
_COMMENT_EDGE = re.compile(rb"\\.|[()]")
_PIECES = re.compile(rb"(\\.|[()])")
_PAIR = re.compile(rb"\\(.)")
_TOKEN = re.compile(rb"[A-Za-z0-9!#$%&'*+\-.^_`{|}~]+")
_NUMBERED = re.compile(rb"([^*]+)\*(\d{1,3})")


def ascii_value(field: Field, spell_domain: SpellDomain) -> bytes:
    """The field's value in ASCII, with its line end; unchanged if it is already ASCII.

    Raises NeedsUnicode. Takes time in proportion to the octets.
    """
    if field.value.isascii():
        return field.value
    value = unfold(field.value)
    if field.key in _ADDRESSES:
        spelled = _Addresses(spell_domain).spelled(value)
    elif field.key in _PARAMETERS and (with_parameters := _parameters(value)) is not None:
        spelled = with_parameters
    elif field.key == b"received":
        spelled = _Addresses(None).spelled(value)
    else:
        spelled = _text(value)
    return spelled + (b"\r\n" if field.value.endswith(b"\n") else b"")


def _text(value: bytes) -> bytes:
    """The value of an unstructured field in ASCII."""
    words = [(space, word, _if_eight_bit(word)) for space, word in _WORDS.findall(value)]
    return encode_among(words)


def _if_eight_bit(word: bytes) -> bytes | None:
    return None if word.isascii() else word


class _Addresses:
    """Rewrites address lists, and other values with quoted strings and comments.

    If `spell_domain` is None, the value contains no addresses.
    """

    def __init__(self, spell_domain: SpellDomain | None) -> None:
        self._spell_domain = spell_domain

    def spelled(self, value: bytes) -> bytes:
        """The whole value in ASCII. Raises NeedsUnicode."""
        words: list[tuple[bytes, bytes, bytes | None]] = []
        at, structure = 0, _STRUCTURE
        while found := structure.match(value, at):
            at = found.end()
            space, octets = found["space"], found.group()[len(found["space"]) :]
            kind = found.lastgroup
            if octets == b'"':
                structure = _UNQUOTED
            if kind == "comment":
                at = _after_comment(value, found.end() - 1)
                octets = value[found.end() - 1 : at]
            if kind == "atom" and _NAMES_ANOTHER.match(value, at):
                words.append((space, octets, _if_eight_bit(octets)))
            else:
                words.append((space, *self._word(kind, octets)))
        return encode_among(words)

    def _word(self, kind: str | None, octets: bytes) -> tuple[bytes, bytes | None]:
        """A word, and its text if it has to be encoded, else None."""
        if octets.isascii():
            return octets, None
        if kind == "quoted":
            return octets, _PAIR.sub(rb"\1", octets[1:-1])
        if kind == "comment":
            pieces = _PIECES.split(octets)
            return b"".join(piece if piece.isascii() else _text(piece) for piece in pieces), None
        if kind == "angle" or b"@" in octets:
            return self._address(octets), None
        return octets, octets

    def _address(self, octets: bytes) -> bytes:
        """An address with its domain in A-labels, and with its brackets if it has any."""
        local, at, domain = octets.rpartition(b"@")
        end = b">" if domain.endswith(b">") else b""
        if self._spell_domain is None:
            return octets.decode("latin-1").encode("ascii", "replace")
        try:
            spelled = self._spell_domain(domain.removesuffix(b">").decode("utf-8"))
            if local.isascii() and at:
                return local + at + spelled.encode("ascii") + end
        except ValueError as wrong:
            raise NeedsUnicode("an address is not ASCII") from wrong
        raise NeedsUnicode("an address is not ASCII")


def _after_comment(text: bytes, at: int) -> int:
    depth = 0
    for edge in _COMMENT_EDGE.finditer(text, at):
        depth += {b"(": 1, b")": -1}.get(edge.group(), 0)
        if depth == 0:
            return edge.end()
    return len(text)


def _parameters(value: bytes) -> bytes | None:
    """A type or word with its parameters in ASCII; None if the value is not one in ASCII."""
    kind, pairs = parameters.read(value)
    if not kind.isascii() or not kind:
        return None
    spelled = [b" " + kind.encode()]
    for name, octets in pairs:
        if not name.isascii():
            return None
        spelled += _parameter(name, octets)
    return b";\r\n\t".join(spelled)


def _parameter(name: bytes, octets: bytes) -> list[bytes]:
    """One parameter, in as many pieces as it needs (RFC 2231 sections 3 and 4)."""
    if octets.isascii():
        if _TOKEN.fullmatch(octets):
            return [name + b"=" + octets]
        quoted = octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        return [name + b'="' + quoted + b'"']
    charset = charset_of(octets).encode() + b"''"
    if name.endswith(b"*"):
        # It already names its character set, but has some octets that were not encoded.
        raw = b"".join(b"%%%02X" % octet if octet > 126 else bytes([octet]) for octet in octets)
        return [name + b"=" + raw]
    if numbered := _NUMBERED.fullmatch(name):
        return [name + b"*=" + (charset if int(numbered[2]) == 0 else b"") + percent(octets)]
    encoded = percent(octets)
    if len(encoded) <= _MAX_VALUE:
        return [name + b"*=" + charset + encoded]
    step = _MAX_VALUE // 3
    pieces = [octets[at : at + step] for at in range(0, len(octets), step)]
    return [
        b"%s*%d*=%s%s" % (name, number, b"" if number else charset, percent(piece))
        for number, piece in enumerate(pieces)
    ]

"""Encodes non-ASCII words for header fields without SMTPUTF8 (RFC 2047, RFC 2231).

Raw octets in a field do not name their character set. They count as UTF-8 if they are valid UTF-8,
else as an unknown character set (RFC 1428 section 3).
"""

from __future__ import annotations

import base64
import re

UNKNOWN = "unknown-8bit"

_MAX_WORD = 75  # octets, RFC 2047 section 2
_WORD = re.compile(rb"=\?[^?\s]+\?[bBqQ]\?[^?\s]*\?=")
# Octets that need no encoding in an encoded word, wherever it stands (RFC 2047 section 5).
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
_QUOTED = [
    bytes([octet]) if octet in _PLAIN else b"_" if octet == 0x20 else b"=%02X" % octet
    for octet in range(256)
]
_PARAMETER_PLAIN = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$&+-.^_`{|}~"
)
_PERCENT = [
    bytes([octet]) if octet in _PARAMETER_PLAIN else b"%%%02X" % octet for octet in range(256)
]


def charset_of(octets: bytes) -> str:
    """ "utf-8" if the octets are valid UTF-8, else "unknown-8bit"."""
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return UNKNOWN
    return "utf-8"


def encode(octets: bytes) -> bytes:
    """These octets as encoded words, with folds between them; b"" for no octets.

    Readers join the words without the folds (RFC 2047 section 6.2).
    """
    charset = charset_of(octets)
    by_base64 = sum(octet not in _PLAIN for octet in octets) * 3 > len(octets)
    start = f"=?{charset}?{'b' if by_base64 else 'q'}?".encode()
    room = _MAX_WORD - len(start) - len(b"?=")
    words: list[bytes] = []
    at = 0
    while at < len(octets):
        end = _end(octets, at, room, by_base64, charset)
        words.append(start + _spelled(octets[at:end], by_base64) + b"?=")
        at = end
    return b"\r\n ".join(words)


def _end(octets: bytes, at: int, room: int, by_base64: bool, charset: str) -> int:
    """The end of the word that begins here. Characters are not cut (RFC 2047 section 5)."""
    if by_base64:
        end = min(len(octets), at + room // 4 * 3)
    else:
        end = at
        while end < len(octets) and (room := room - len(_QUOTED[octets[end]])) >= 0:
            end += 1
    if charset != UNKNOWN and end < len(octets):
        while octets[end] & 0xC0 == 0x80:
            end -= 1
    return end


def _spelled(octets: bytes, by_base64: bool) -> bytes:
    if by_base64:
        return base64.b64encode(octets)
    return b"".join(_QUOTED[octet] for octet in octets)


def percent(octets: bytes) -> bytes:
    """These octets as the value of an encoded parameter, without its character set."""
    return b"".join(_PERCENT[octet] for octet in octets)


def is_word(text: bytes) -> bool:
    """True if this is an encoded word and nothing else."""
    return _WORD.fullmatch(text) is not None


def encode_among(words: list[tuple[bytes, bytes, bytes | None]]) -> bytes:
    """Join words, and encode those that need it.

    Each is the white space before it, the word, and its text if it has to be encoded, else None.
    Readers ignore white space between two encoded words, so it is encoded in one of them.
    """
    spelled: list[bytes] = []
    at = 0
    while at < len(words):
        space, word, text = words[at]
        if text is None:
            spelled += (space, word)
            at += 1
            continue
        after_word = at > 0 and is_word(words[at - 1][1])
        octets = (space if after_word else b"") + text
        at += 1
        while at < len(words) and (following := words[at][2]) is not None:
            octets += words[at][0] + following
            at += 1
        if at < len(words) and is_word(words[at][1]):
            octets += words[at][0]
        spelled += (space or (b" " if spelled else b""), encode(octets))
        if at < len(words) and not words[at][0]:
            words[at] = (b" ", *words[at][1:])
    return b"".join(spelled)

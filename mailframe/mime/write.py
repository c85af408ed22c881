"""Writes and folds header fields, so that no text can begin a field of its own."""

from __future__ import annotations

import re

MAX_LINE = 998  # octets without CRLF, RFC 5322 section 2.1.1
WIDTH = 76  # octets of a line that is easy to read

_NAME = re.compile(r"[!-9;-~]{1,76}")
_BREAK = re.compile(r"\r\n|\r|\n")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x80-\x9f\u2028\u2029\ud800-\udfff]")


def field_octets(text: str, utf8: bool) -> bytes | None:
    """A plugin's "Name: value" as header lines ended by CRLF; None if the text is no field.

    Folds are kept, because a signature may cover them, and are made correct: a line break that no
    white space follows cannot begin another field. Control characters are removed, non-ASCII
    becomes "?" unless `utf8` (RFC 6532), and lines of more than 998 octets are folded.
    """
    name, colon, value = text.partition(":")
    if not colon or not _NAME.fullmatch(name):
        return None
    first, *folded = _BREAK.split(value)
    lines = [f"{name}:{first}", *(x if x[:1] in (" ", "\t") else f"\t{x}" for x in folded)]
    encoding = "utf-8" if utf8 else "ascii"
    cleaned = (_CONTROL.sub("", line) for line in lines)
    encoded = [line.encode(encoding, "replace") for line in cleaned if line.strip()]
    return b"".join(part + b"\r\n" for line in encoded for part in fold(line))


def fold(line: bytes) -> list[bytes]:
    """The line in pieces of at most 998 octets, cut at white space if there is any.

    Text without white space is cut between characters of UTF-8 and continued after a tab.
    """
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


def fold_words(name: bytes, value: bytes) -> bytes:
    """The field, ended by CRLF, folded at blanks so that its lines are short.

    `value` is one line. A word that is too long for any line is cut.
    """
    head = name + b":"
    lines = [head]
    for word in value.split(b" "):
        while len(word) > MAX_LINE - 2:
            lines.append(word[: MAX_LINE - 2])
            word = word[MAX_LINE - 2 :]
        if len(lines[-1]) + 1 + len(word) > WIDTH and lines[-1] != head:
            lines.append(word)
        else:
            lines[-1] += b" " + word
    return b"\r\n ".join(line for line in lines if line.strip()) + b"\r\n"

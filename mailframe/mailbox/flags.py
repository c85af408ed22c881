"""The flags of IMAP as letters in a Maildir's file names, and back.

The letters D, F, R, S and T are system flags; a to z are the folder's keywords. Any other letter is
left alone, such as P(assed), which Dovecot does not take for $Forwarded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from ..maildir.filename import FileName
from .keywords import KeywordFile

How = Literal["add", "remove", "replace"]

#: RFC 9051 section 2.3.2, by the letters of https://cr.yp.to/proto/maildir.html.
SYSTEM = {"D": "\\Draft", "F": "\\Flagged", "R": "\\Answered", "S": "\\Seen", "T": "\\Deleted"}
_LETTER = {flag.lower(): letter for letter, flag in SYSTEM.items()}


def flags_of(file: str, keywords: KeywordFile) -> frozenset[str]:
    """The flags in a file's name; letters without a meaning are left out."""
    letters = FileName.parse(file).flags
    named = (SYSTEM.get(letter) or keywords.keyword(letter) for letter in letters)
    return frozenset(flag for flag in named if flag is not None)


def keywords_among(flags: Iterable[str]) -> list[str]:
    """The keywords among these flags. ValueError for a system flag that cannot be stored."""
    found = [flag for flag in flags if flag.lower() not in _LETTER]
    for flag in found:
        if flag.startswith("\\"):
            raise ValueError(f"{flag} is not a flag that can be stored")
    return found


def changed(file: str, flags: Iterable[str], how: How, keywords: KeywordFile) -> str:
    """The name in cur with these flags added, removed, or instead of all others.

    Keywords without a letter are left out.
    """
    name = FileName.parse(file)
    named = {_LETTER.get(flag.lower()) or keywords.letter(flag) for flag in flags}
    letters = {letter for letter in named if letter is not None}
    if how == "add":
        return str(name.with_flags(name.flags | letters))
    if how == "remove":
        return str(name.with_flags(name.flags - letters))
    unknown = {each for each in name.flags if each not in SYSTEM and not keywords.keyword(each)}
    return str(name.with_flags(unknown | letters))

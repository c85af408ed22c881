"""`dovecot-keywords`: which keyword each of the letters a to z in this folder's file names means.

    0 $Forwarded
    1 Junk

Number 0 is the letter a. The file has no lock of its own: Dovecot changes it under the lock of
`dovecot-uidlist` (src/lib-storage/index/maildir/maildir-keywords.c).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from ..maildir.mailbox import Maildir
from .beside import open_file, replace
from .lock import DotLock

NAME = "dovecot-keywords"
MAX_FILE = 1 << 20  # octets; a longer file is not Dovecot's

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_LINE = re.compile(r"(\d{1,9}) (\S+)\r?")
#: RFC 9051 section 9, flag-keyword: an atom.
_KEYWORD = re.compile(r"[!#$&'+\-./0-9:;<=>?@A-Z\[^_`a-z|}~,]{1,200}")


class KeywordsFull(Exception):
    """All 26 letters of this folder have a meaning already."""


class KeywordFile:
    """The keywords of one folder, as they were when `read` was called last."""

    def __init__(self, maildir: Maildir) -> None:
        self._maildir = maildir
        self._lines: list[str] = []
        self._letter: dict[str, str] = {}  # by the keyword in small letters
        self._keyword: dict[str, str] = {}  # by the letter
        self._free: list[int] = []

    def read(self) -> None:
        """Read the file anew. No file means no keywords. OSError."""
        try:
            file = open_file(self._maildir.path / NAME)
        except FileNotFoundError:
            text = ""
        else:
            with open(file, "rb") as reader:
                text = os.fsdecode(reader.read(MAX_FILE))
        # As in Dovecot, a line that is not ended does not count.
        self._lines = text.split("\n")[:-1]
        self._letter, self._keyword = {}, {}
        free = set(range(len(_LETTERS)))
        for line in self._lines:
            match = _LINE.fullmatch(line)
            if match and int(match[1]) < len(_LETTERS):
                free.discard(int(match[1]))
                letter = _LETTERS[int(match[1])]
                if letter not in self._keyword and match[2].lower() not in self._letter:
                    self._letter[match[2].lower()], self._keyword[letter] = letter, match[2]
        self._free = sorted(free)

    @property
    def all(self) -> list[str]:
        """All keywords, in the order of their letters."""
        return [self._keyword[letter] for letter in sorted(self._keyword)]

    @property
    def full(self) -> bool:
        """True if no keyword can be added."""
        return not self._free

    def letter(self, keyword: str) -> str | None:
        """The letter of this keyword, whatever its case; None if it has none."""
        return self._letter.get(keyword.lower())

    def keyword(self, letter: str) -> str | None:
        """The keyword of this letter; None if it has no meaning here."""
        return self._keyword.get(letter)

    def add(self, keywords: Iterable[str], lock: DotLock) -> None:
        """Give letters to those keywords that have none; on disk once it returns.

        `lock` is the one of `dovecot-uidlist`. ValueError for what is no keyword, KeywordsFull,
        OSError; then nothing has changed.
        """
        self.read()
        new = {word.lower(): word for word in keywords if self.letter(word) is None}
        for word in new.values():
            if not _KEYWORD.fullmatch(word):
                raise ValueError(f"{word!r} is not a keyword")
        if len(self._free) < len(new):
            raise KeywordsFull
        if new:
            numbers = self._free[: len(new)]
            added = [f"{n} {word}" for n, word in zip(numbers, new.values(), strict=True)]
            text = "".join(f"{line}\n" for line in self._lines + added)
            replace(self._maildir, NAME, os.fsencode(text), lock)
            self.read()

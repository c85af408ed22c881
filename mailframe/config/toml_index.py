"""Finds the line of each key in a TOML text: an index from paths to lines.

A path is a tuple of keys and indexes, such as ("listen", 0, "endpoint"). The text is valid TOML,
because `tomllib` has read it before.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:""?(?!"))?'
    r"|'''.*?'''(?:''?(?!'))?"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_PLAIN = re.compile(r"[^,\]}\n#]+")


def index(text: str) -> dict[Path, int]:
    """The line of every table, every key and every element of an array, counted from 1."""
    return _Indexing(text).lines


class _Indexing:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._starts = [match.end() for match in re.finditer(r"\n", text)]
        self._counts: dict[Path, int] = {}
        self.lines: dict[Path, int] = {}
        table: Path = ()
        while self._skip(_BLANK) < len(text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _skip(self, what: re.Pattern[str]) -> int:
        match = what.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return self._at

    def _note(self, path: Path) -> None:
        self.lines.setdefault(path, bisect_right(self._starts, self._at) + 1)

    def _header(self) -> Path:
        """`[a.b]` or `[[a.b]]`; the path of the table that the keys after it belong to."""
        line_start = self._at
        several = self._text.startswith("[[", self._at)
        self._at += 2 if several else 1
        keys = self._keys()
        self._at += 2 if several else 1
        path: Path = ()
        end, self._at = self._at, line_start
        for depth, key in enumerate(keys, 1):
            path = (*path, key)
            if depth == len(keys) and several:
                self._counts[path] = self._counts.get(path, -1) + 1
            self._note(path)
            if path in self._counts:
                path = (*path, self._counts[path])
                self._note(path)
        self._at = end
        return path

    def _keys(self) -> list[str]:
        """The parts of a dotted key; stops before the "=" or "]" that follows it."""
        keys = []
        while True:
            self._skip(_SPACE)
            if self._text[self._at] in "\"'":
                start = self._at
                keys.append(
                    str(tomllib.loads(f"x = {self._text[start : self._skip(_STRING)]}")["x"])
                )
            else:
                start = self._at
                keys.append(self._text[start : self._skip(_BARE_KEY)])
            self._skip(_SPACE)
            if self._text[self._at] != ".":
                return keys
            self._at += 1

    def _pair(self, table: Path) -> None:
        start = self._at
        keys = self._keys()
        end, self._at = self._at, start
        path = table
        for key in keys:
            path = (*path, key)
            self._note(path)
        self._at = end + 1  # the "="
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: Path) -> None:
        first = self._text[self._at]
        if first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        elif first in "\"'":
            self._skip(_STRING)
        else:
            self._skip(_PLAIN)

    def _array(self, path: Path) -> None:
        self._at += 1
        number = 0
        while self._text[self._skip(_BLANK)] != "]":
            if self._text[self._at] == ",":
                self._at += 1
                continue
            self._note((*path, number))
            self._value((*path, number))
            number += 1
        self._at += 1

    def _inline_table(self, path: Path) -> None:
        self._at += 1
        while self._text[self._skip(_BLANK)] != "}":
            if self._text[self._at] == ",":
                self._at += 1
                continue
            self._pair(path)
        self._at += 1

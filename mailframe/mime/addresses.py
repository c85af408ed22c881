"""Reads From:, Sender: and similar fields: address lists (RFC 5322 section 3.4, RFC 6854).

If two programs can read different authors in one field, that is dangerous. So a field that is not
clear is marked as unclear.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

from .header import unfold

_SPACE = re.compile(r"[ \t]+")
_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~\u0080-\U0010ffff]+")
_QUOTED = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
_LITERAL = re.compile(r"\[[^\[\]\\]*\]")
_COMMENT_EDGE = re.compile(r"\\.|[()]")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ENCODED_WORD = re.compile(r"=\?.*\?=")
_PAIR = re.compile(r"\\(.)")

_SPECIALS = frozenset("<>@,;:.")


class Address(NamedTuple):
    """One mailbox in a field: the name that stands with it, and `local@domain` as spelled.

    `name` has neither quotes nor comments; encoded words (RFC 2047) are left as they are. `spec`
    has its quotes, but no comments and no blanks around its dots. Its parts may have too many dots;
    the caller must check that it is a mailbox.
    """

    name: str
    spec: str


class AddressList(NamedTuple):
    """What a field holds. `clear` is False if any of it can be read in two ways, or not at all.

    `elements` counts mailboxes and groups. The mailboxes of a group are in `addresses`; a group may
    be empty.
    """

    addresses: tuple[Address, ...]
    elements: int
    clear: bool


class _Token(NamedTuple):
    """`kind` is the special character, or "a" for an atom, "q" for quoted, "l" for a literal."""

    kind: str
    text: str


class _UnclearError(ValueError):
    """The field does not follow the grammar."""


def read(value: bytes) -> AddressList:
    """The value of one field, in raw octets. Never raises.

    Takes time in proportion to the octets. The value may contain UTF-8 (RFC 6532).
    """
    try:
        return _Reader(_tokens(unfold(value).decode("utf-8", "replace"))).all()
    except _UnclearError:
        return AddressList((), 0, False)


def _tokens(text: str) -> list[_Token]:
    if _CONTROL.search(text):
        raise _UnclearError
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        if found := _SPACE.match(text, at):
            at = found.end()
        elif found := _ATOM.match(text, at):
            tokens.append(_Token("a", found.group()))
            at = found.end()
        elif text[at] in _SPECIALS:
            tokens.append(_Token(text[at], text[at]))
            at += 1
        elif found := _QUOTED.match(text, at):
            tokens.append(_Token("q", found.group()))
            at = found.end()
        elif found := _LITERAL.match(text, at):
            tokens.append(_Token("l", found.group()))
            at = found.end()
        else:
            at = _after_comment(text, at)
    return tokens


def _after_comment(text: str, at: int) -> int:
    """The position after the comment that begins here."""
    if text[at] != "(":
        raise _UnclearError
    depth = 0
    for edge in _COMMENT_EDGE.finditer(text, at):
        depth += {"(": 1, ")": -1}.get(edge.group(), 0)
        if depth == 0:
            return edge.end()
    raise _UnclearError


class _Reader:
    """Reads the tokens one after the other; none is looked at twice."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._addresses: list[Address] = []
        self._elements = 0

    def all(self) -> AddressList:
        """The whole list. Empty elements between commas are allowed (section 4.4)."""
        self._list("")
        return AddressList(tuple(self._addresses), self._elements, True)

    @property
    def _next(self) -> str:
        return self._tokens[self._at].kind if self._at < len(self._tokens) else ""

    def _take(self, kinds: str) -> str:
        """The text of the next token, which must be one of these."""
        if not self._next or self._next not in kinds:
            raise _UnclearError
        self._at += 1
        return self._tokens[self._at - 1].text

    def _list(self, end: str) -> None:
        """Mailboxes up to `end`; if `end` is "", groups too."""
        while True:
            while self._next == ",":
                self._at += 1
            if self._next == end:
                return
            self._element(in_group=bool(end))
            if self._next != end:
                self._take(",")

    def _element(self, in_group: bool) -> None:
        words: list[str] = []
        while self._next and self._next in "aq.":
            words.append(self._take("aq."))
        if self._next == ":" and words and not in_group:
            self._at += 1
            self._list(";")
            self._take(";")
            self._elements += 1
            return
        if not in_group:
            self._elements += 1
        if self._next == "<":
            self._addresses.append(Address(_phrase(words), self._angle()))
            return
        self._addresses.append(Address("", self._spec(words)))

    def _angle(self) -> str:
        """An addr-spec in angle brackets, without the route of section 4.4."""
        self._take("<")
        if self._next == "@":
            while self._next and self._next in "@,":
                if self._take("@,") == "@":
                    self._domain()
            self._take(":")
        words = []
        while self._next and self._next in "aq.":
            words.append(self._take("aq."))
        spec = self._spec(words)
        self._take(">")
        return spec

    def _spec(self, words: list[str]) -> str:
        """Read the @ and the domain; the address that they and the local part make."""
        dots = [word == "." for word in words]
        if all(dots) or any(not (one or other) for one, other in pairwise(dots)):
            raise _UnclearError
        self._take("@")
        spec = f"{''.join(words)}@{self._domain()}"
        # RFC 2047 section 5: an encoded word may not stand here, but some programs decode it.
        if "\ufffd" in spec or _ENCODED_WORD.search(spec):
            raise _UnclearError
        return spec

    def _domain(self) -> str:
        if self._next == "l":
            return self._take("l")
        labels = [self._take("a")]
        while self._next and self._next in "a." and (labels[-1] == "." or self._next == "."):
            labels.append(self._take("a."))
        return "".join(labels)


def _phrase(words: list[str]) -> str:
    """A display name. Many contain a dot that is not quoted (section 4.1)."""
    parts = [_PAIR.sub(r"\1", word[1:-1]) if word.startswith('"') else word for word in words]
    return " ".join(parts).replace(" .", ".")

"""Replies as the RFCs want them on the wire, read without a line of mailframe's own code.

RFC 5321 section 4.2 (codes, continuation lines, 512 octets), RFC 2034 (enhanced status codes:
on every line, of the code's class, absent only from greetings, EHLO, 3xx).
"""

from __future__ import annotations

import re
from typing import NamedTuple

_LINE = re.compile(rb"([2-5][0-9][0-9])([ -])(.*)", re.DOTALL)
_STATUS = re.compile(rb"([2-5])\.([0-9]{1,3})\.([0-9]{1,3}) ")
_PRINTABLE = re.compile(rb"[\t -~]*")

MAX_LINE = 512


class Broken(AssertionError):
    """The oracle says no; the text says why."""


class Reply(NamedTuple):
    """A whole reply: `status` is b"" where there is none, `lines` are the texts after it."""

    code: int
    status: bytes
    lines: tuple[bytes, ...]

    @property
    def positive(self) -> bool:
        return self.code < 400

    def __str__(self) -> str:
        text = b" / ".join(self.lines).decode("ascii", "backslashreplace")
        return f"{self.code} {self.status.decode()} {text}"


class ReplyReader:
    """Octets in, whole replies out; Broken for whatever is not well formed."""

    def __init__(self) -> None:
        self.rest = b""
        self._lines: list[tuple[bytes, bytes]] = []

    def feed(self, octets: bytes) -> list[Reply]:
        """The replies that are complete now."""
        self.rest += octets
        replies = []
        while (end := self.rest.find(b"\r\n")) >= 0:
            line, self.rest = self.rest[:end], self.rest[end + 2 :]
            reply = self._line(line)
            if reply is not None:
                replies.append(reply)
        if len(self.rest) > MAX_LINE:
            raise Broken(f"a reply line without end: {self.rest[:80]!r}")
        return replies

    @property
    def midway(self) -> bool:
        """Whether half a reply was read."""
        return bool(self.rest or self._lines)

    def _line(self, line: bytes) -> Reply | None:
        match = _LINE.fullmatch(line)
        if match is None or not _PRINTABLE.fullmatch(line):
            raise Broken(f"not a line of a reply: {line[:200]!r}")
        if len(line) + 2 > MAX_LINE:
            raise Broken(f"a reply line of {len(line) + 2} octets")
        code, more, text = match.groups()
        if self._lines and self._lines[0][0] != code:
            raise Broken(f"a reply of several codes: {self._lines[0][0]!r}, then {line!r}")
        self._lines.append((code, text))
        if more == b"-":
            return None
        lines, self._lines = [text for _, text in self._lines], []
        return _whole(int(code), lines)


def _whole(code: int, lines: list[bytes]) -> Reply:
    found = [_STATUS.match(line) for line in lines]
    if code >= 400 or code in (221, 235, 252):
        for match, line in zip(found, lines, strict=True):
            if match is None:
                raise Broken(f"no enhanced status: {code} {line!r}")
    statuses = {match[0] for match in found if match}
    if code < 400 and code >= 300 and statuses:
        raise Broken(f"an enhanced status after {code}: {lines[0]!r}")
    for status in statuses:
        if status[:1] != str(code).encode()[:1]:
            raise Broken(f"code {code} and status {status!r} disagree")
    if len(statuses) > 1 or (statuses and None in found):
        raise Broken(f"lines of one reply with several statuses: {lines!r}")
    status = statuses.pop().strip() if statuses else b""
    at = len(status) + 1 if status else 0
    return Reply(code, status, tuple(line[at:] for line in lines))

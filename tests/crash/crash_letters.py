"""Numbered messages that can be told from each other, and from a part of themselves."""

from __future__ import annotations

import base64
import random
import re
from dataclasses import dataclass

DOMAINS = {"ours": "ours.example", "far": "far.example"}
_TRACE = {b"return-path", b"delivered-to", b"x-original-to", b"received"}
_NAME = re.compile(rb"(?:^|\n)X-Crash: ((\d+)-(\d+)-(\d+)-(\d+))\r?\n")
# Octets, and how many letters of a hundred are of about that size.
_SIZES = [(1_000, 40), (4_000, 25), (60_000, 15), (256 << 10, 8), (300_000, 6), (1_500_000, 4),
          (5_000_000, 2)]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Letter:
    """One message as one client sent it; `attempt` tells its repetitions apart."""

    seed: int
    client: int
    number: int
    attempt: int = 0

    @property
    def name(self) -> str:
        return f"{self.seed}-{self.client}-{self.number}-{self.attempt}"

    @property
    def size(self) -> int:
        """About how many octets it has."""
        chance = random.Random(f"size {self.seed} {self.client} {self.number}")
        sizes, weights = zip(*_SIZES, strict=True)
        (about,) = chance.choices(sizes, weights)
        return int(about * chance.uniform(0.7, 1.05))

    def octets(self) -> bytes:
        """The whole message, lines ended by CRLF, some beginning with a dot."""
        chance = random.Random(f"body {self.seed} {self.client} {self.number}")
        lines = base64.encodebytes(chance.randbytes(self.size * 3 // 4)).replace(b"\nA", b"\n.A")
        text = (
            f"X-Crash: {self.name}\nFrom: <box@ours.example>\nTo: undisclosed-recipients:;\n"
            f"Message-ID: <{self.name}@crash.example>\nDate: Sat, 21 Nov 2026 12:00:00 +0000\n"
            f"Subject: =?utf-8?q?{self.number}?=\n\n.\n..\nzwölf\n"
        ).encode() + lines  # fmt: skip
        return text.replace(b"\n", b"\r\n")

    def next_attempt(self) -> Letter:
        return Letter(self.seed, self.client, self.number, self.attempt + 1)


def letter_in(octets: bytes) -> Letter | None:
    """The letter that these octets name somewhere, whole or not."""
    found = _NAME.search(octets)
    return Letter(*(int(number) for number in found.groups()[1:])) if found else None


def is_letter(octets: bytes) -> bool:
    """Whether this is a letter itself, not a report that returns one."""
    return _NAME.search(octets.replace(b"\r\n", b"\n").partition(b"\n\n")[0] + b"\n") is not None


def wrong_with(octets: bytes) -> str:
    """Why this is not a whole letter below nothing but trace fields; "" where it is one.

    `octets` is what a Maildir has (line ends LF) or what a next hop received (CRLF).
    """
    found = _NAME.search(octets)
    letter = letter_in(octets)
    if found is None or letter is None:
        return f"no letter: {octets[:80]!r}"
    start = found.start() + (octets[found.start() : found.start() + 1] == b"\n")
    expected = letter.octets()
    trace, content = octets[:start], octets[start:]
    if b"\r\n" not in octets:
        expected = expected.replace(b"\r\n", b"\n")
    if content != expected:
        return f"{letter.name} has {len(content)} octets instead of {len(expected)}" + _where(
            content, expected
        )
    trace = trace.replace(b"\r\n", b"\n")
    fields = re.findall(rb"^([^\s:]+):", trace, re.MULTILINE)
    strange = [field for field in fields if field.lower() not in _TRACE]
    return f"{letter.name} has {strange} on top" if strange or b"\n\n" in b"\n" + trace else ""


def _where(content: bytes, expected: bytes) -> str:
    same = next(
        (at for at, (one, two) in enumerate(zip(content, expected, strict=False)) if one != two),
        min(len(content), len(expected)),
    )
    return f", other from {same} on: {content[same : same + 40]!r}"

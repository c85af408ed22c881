"""The header section as it streams by."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailframe.mime.scan import HeaderScan

MESSAGE = (
    b"Received: from a\r\n\tby b; Received: not a field\r\n"
    b"rEcEiVeD : from c\r\n"
    b"X-Received: from d\r\n"
    b"Message-ID: <1@example>\r\n"
    b"Subject: x\r\n Date: folded\r\n"
    b"\r\n"
    b"Date: in the body\r\nReceived: in the body\r\n"
)


def scanned(*chunks: bytes, size: int = 1000, lines: int = 100, hops: int = 50) -> HeaderScan:
    scan = HeaderScan(size, lines, hops)
    for chunk in chunks:
        scan.feed(chunk)
    return scan


def facts(scan: HeaderScan) -> tuple[Any, ...]:
    counts = [scan.count(name) for name in (b"received", b"message-id", b"date")]
    return (*counts, scan.lines, scan.size, scan.ended)


def test_fields_are_counted_at_line_starts_in_the_header_only() -> None:
    """Folded lines, other names and the body do not count."""
    scan = scanned(MESSAGE)
    assert (scan.hops, scan.count(b"message-id"), scan.count(b"date")) == (2, 1, 0)
    assert scan.ended
    assert scan.lines == 7


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7, 16, 64])
def test_any_cut_gives_the_same_facts(step: int) -> None:
    """Chunk edges do not matter."""
    chunks = [MESSAGE[at : at + step] for at in range(0, len(MESSAGE), step)]
    assert facts(scanned(*chunks)) == facts(scanned(MESSAGE))


_PIECES = [
    b"Received:", b"Date", b":", b" ", b" " * 40, b"\r\n", b"\r", b"x" * 40, b"message-id:", b"\t",
]  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.sampled_from(_PIECES)), st.lists(st.integers(0, 200)))
def test_any_cut_of_any_header_gives_the_same_facts(pieces: list[bytes], cuts: list[int]) -> None:
    """A property over strange headers, too: blanks without end before a colon."""
    octets = b"".join(pieces)
    edges = [0, *sorted(cuts), len(octets)]
    chunks = [octets[start:stop] for start, stop in pairwise(edges)]
    assert facts(scanned(*chunks)) == facts(scanned(octets))


def test_other_names_are_watched_if_they_are_named() -> None:
    """And none but them."""
    scan = HeaderScan(1000, 100, 50, names=(b"bcc", b"return-path"))
    for octet in b"Bcc: a\r\nReturn-Path \t: b\r\nbcc: c\r\nDate: d\r\n":
        scan.feed(bytes([octet]))
    assert (scan.count(b"bcc"), scan.count(b"return-path"), scan.count(b"date")) == (2, 1, 0)


def test_an_empty_header_ends_at_once() -> None:
    """A message may begin with its body."""
    scan = scanned(b"\r\nDate: no\r\n")
    assert scan.ended
    assert scan.count(b"date") == 0


def test_too_many_hops() -> None:
    """RFC 5321 section 6.3: Received: fields are counted."""
    assert scanned(b"Received: x\r\n" * 2, hops=2).excess is None
    assert scanned(b"Received: x\r\n" * 3, hops=2).excess == "hops"


def test_a_section_that_is_too_big() -> None:
    """By octets and by lines, and without waiting for its end."""
    assert scanned(b"a" * 101, size=100).excess == "size"
    assert scanned(b"a:\r\n" * 6, lines=5).excess == "size"
    assert scanned(b"a:\r\n" * 5, lines=5).excess is None


@pytest.mark.parametrize("octets", [b"y" * 1000, b" " * 1000, b"\r" * 1000, b":" * 1000])
def test_a_header_without_end_keeps_no_octets(octets: bytes) -> None:
    """What is kept between chunks does not grow."""
    scan = scanned(*[b"date"] + [octets] * 100, size=1 << 20)
    assert len(scan._carry) <= 64

"""Header sections read as their octets have them."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailframe.mime import header
from mailframe.mime.header import HeaderSection

SECTION = (
    b"Received: from a\r\n\tby b; x: y\r\nSubject : odd \r\n \r\n folded \r\nno field\r\nTo:\r\n"
)
MESSAGE = SECTION + b"\r\nDate: in the body\r\n"

PIECES = st.lists(
    st.sampled_from([b"To", b"subject", b":", b" ", b"\t", b"\r\n", b"\n", b"\r", b"x", b"\xff"]),
    max_size=30,
).map(b"".join)


def test_fields_are_read_in_order_with_their_place() -> None:
    """Names as spelled, values raw; lines that are no fields are shown, not lost."""
    fields = list(header.read(MESSAGE))
    assert [(field.name, field.value) for field in fields] == [
        (b"Received", b" from a\r\n\tby b; x: y\r\n"),
        (b"Subject", b" odd \r\n \r\n folded \r\n"),
        (b"", b"no field\r\n"),
        (b"To", b"\r\n"),
    ]
    assert [field.key for field in fields] == [b"received", b"subject", b"", b"to"]
    assert fields[1].text == b"odd   folded"
    assert b"".join(MESSAGE[field.start : field.end] for field in fields) == SECTION


@pytest.mark.parametrize(
    ("octets", "fields"),
    [
        (b"", []),
        (b"\r\nA: b", []),
        (b"\nA: b", []),
        (b"A:", [(b"A", b"")]),
        (b"A", [(b"", b"A")]),
        (b" A: b\n", [(b"", b" A: b\n")]),
        (b"A: b\rC: d\n", [(b"A", b" b\rC: d\n")]),
        (b"A: b\n\nC: d", [(b"A", b" b\n")]),
        (b": b\nC :\td", [(b"", b": b\n"), (b"C", b"\td")]),
        (b"\xc3\xbc: b\n", [(b"", b"\xc3\xbc: b\n")]),
        (b"A: b\n\tc", [(b"A", b" b\n\tc")]),
    ],
)
def test_odd_sections(octets: bytes, fields: list[tuple[bytes, bytes]]) -> None:
    """Lines of LF, lines without end, a bare CR, a continuation of nothing."""
    assert [(field.name, field.value) for field in header.read(octets)] == fields


def test_values_by_name() -> None:
    """All of them, in any spelling."""
    octets = b"To: a\r\nTO : b\r\nX-To: c\r\n\r\nTo: d\r\n"
    assert header.values(octets, b"to") == [b" a\r\n", b" b\r\n"]
    assert header.values(octets, b"cc") == []


@pytest.mark.parametrize(
    ("line", "is_one"),
    [
        (b"Subject: x", True),
        (b"From  : x", True),
        (b"X:", True),
        (b"From alice Mon Nov 23 10:00:00 2026", False),
        (b" folded: x", False),
        (b": x", False),
        (b"", False),
        (b"two words: x", False),
        ("Grüße: x".encode(), False),
    ],
)
def test_what_is_a_field(line: bytes, is_one: bool) -> None:
    """RFC 5322 section 2.2, and the blanks that section 4.5.1 allows."""
    assert header.is_field(line) is is_one


def test_unfolding_keeps_the_blanks() -> None:
    """RFC 5322 section 2.2.3: only the line ends go."""
    assert header.unfold(b" a\r\n\t b\n c\r\n") == b" a\t b c"


@pytest.mark.parametrize(
    ("octets", "head", "gap", "body"),
    [
        (b"A: b\r\n\r\nc", b"A: b\r\n", b"\r\n", b"c"),
        (b"A: b\n\nc\n\n", b"A: b\n", b"\n", b"c\n\n"),
        (b"A: b\n\r\nc", b"A: b\n", b"\r\n", b"c"),
        (b"\r\nc", b"", b"\r\n", b"c"),
        (b"\n\n", b"", b"\n", b"\n"),
        (b"A: b\r\n", b"A: b\r\n", b"", b""),
        (b"", b"", b"", b""),
    ],
)
def test_where_the_body_begins(octets: bytes, head: bytes, gap: bytes, body: bytes) -> None:
    """Behind the first empty line."""
    assert header.split(octets) == (head, gap, body)
    assert header.end(octets) == (len(head) if gap else None)


def test_the_end_is_looked_for_up_to_a_limit() -> None:
    """Octets behind it do not count."""
    assert header.end(b"A: b\r\n\r\n", 8) == 6
    assert header.end(b"A: b\r\n\r\n", 7) is None


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=200), PIECES))
def test_split_and_joined_it_is_the_same(octets: bytes) -> None:
    """Nothing is lost, nothing raises, whatever the octets are."""
    head, gap, body = header.split(octets)
    assert head + gap + body == octets
    fields = list(header.read(octets))
    assert b"".join(octets[field.start : field.end] for field in fields) == head
    for field in fields:
        assert octets[field.start : field.end].endswith(field.value)
        assert bool(field.name) is header.is_field(octets[field.start : field.end])


@settings(deadline=None)
@given(PIECES, st.lists(st.integers(0, 60), max_size=4), st.integers(1, 60))
def test_any_cut_gives_the_same_section(octets: bytes, cuts: list[int], limit: int) -> None:
    """Gathered from pieces, it is the section that is there at once."""
    section = HeaderSection(limit)
    edges = [0, *sorted(cuts), len(octets)]
    for start, stop in pairwise(edges):
        section.feed(octets[start:stop])
    end = header.end(octets, limit)
    assert section.ended is (end is not None)
    assert section.octets == (octets[:limit] if end is None else octets[:end])
    assert section.done is (section.ended or len(octets) >= limit)


def test_no_section_takes_long() -> None:
    """Time by the number of octets, for whatever strangers write."""
    began = time.process_time()
    for octets in (b"x" * 1_000_000, b" " * 1_000_000, b"a" + b" " * 1_000_000, b"\r" * 1_000_000):
        assert sum(1 for _ in header.read(octets)) == 1
    assert sum(1 for _ in header.read(b"a:\n" * 100_000)) == 100_000
    assert time.process_time() - began < 2

"""Messages whose header section does not end as it should."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailframe.mime import header
from mailframe.mime.separator import Separator

WITHOUT = frozenset({b"bcc", b"x"})


def separated(*chunks: bytes, without: frozenset[bytes] = frozenset()) -> bytes:
    separator = Separator(without)
    return b"".join([*map(separator.feed, chunks), separator.finish()])


@pytest.mark.parametrize(
    ("octets", "result"),
    [
        (b"UPS on battery since 10:00\r\n", b"\r\nUPS on battery since 10:00\r\n"),
        (b" indented first line\r\n", b"\r\n indented first line\r\n"),
        (b"From alice Mon Nov 23 10:00:00 2026\r\nA: b\r\n\r\nc", b"A: b\r\n\r\nc"),
        (b">From alice x\r\nA: b\r\n\r\nFrom c", b"A: b\r\n\r\nFrom c"),
        (b">>From alice x\r\nA: b\r\n", b"A: b\r\n"),
        (b"From alice x\r\n indented\r\n", b"\r\n indented\r\n"),
        (b"From alice without end", b""),
        (b"Subject: x\r\nbody\r\n", b"Subject: x\r\n\r\nbody\r\n"),
        (b"Subject: x\r\nFrom alice y\r\n", b"Subject: x\r\n\r\nFrom alice y\r\n"),
        (b"hello world\r\nsecond: x\r\n\r\nz", b"\r\nhello world\r\nsecond: x\r\n\r\nz"),
        (b"hello", b"\r\nhello"),
        (b"\r", b"\r\n\r"),
        (b": x\r\n", b"\r\n: x\r\n"),
    ],
)
def test_an_empty_line_comes_before_what_is_no_field(octets: bytes, result: bytes) -> None:
    """UPSes, cron jobs, mbox copies: their text stays text."""
    assert separated(octets) == result


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\r\nbody: x\r\nno field\r\n",
        b"A: b\r\n c\r\n \r\n\td\r\nE : f\r\n\r\nno field\r\n",
        b"From  : John Doe\r\n\r\n",
        b"A: b",
        b"A: b\r",
        b"A: b\rc\nd\r\n",
    ],
)
def test_what_is_right_stays_as_it_is(octets: bytes) -> None:
    """Octet for octet."""
    assert separated(octets) == octets


_PIECES = [
    b"Bcc:", b"Bcc", b"x: y\r\n", b"\r\n ",
    b"From", b">", b" ", b"a", b":", b"\r\n", b"\r", b"\n", b"\t", b"\xff", b"x" * 999, b" " * 999,
]  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.sampled_from(_PIECES)), st.lists(st.integers(0, 2000), max_size=5))
def test_any_cut_gives_the_same(pieces: list[bytes], cuts: list[int]) -> None:
    """Fed whole, in pieces or by the octet."""
    octets = b"".join(pieces)
    edges = [0, *sorted(cuts), len(octets)]
    chunks = [octets[start:stop] for start, stop in pairwise(edges)]
    for without in (frozenset[bytes](), WITHOUT):
        result = separated(*chunks, without=without)
        assert result == separated(octets, without=without)
        single = (octets[at : at + 1] for at in range(len(octets)))
        assert result == separated(*single, without=without)


@settings(deadline=None)
@given(st.lists(st.sampled_from([piece for piece in _PIECES if piece not in (b"\r", b"\n")])))
def test_fields_are_left_out(pieces: list[bytes]) -> None:
    """With the lines that continue them; all others and the body are as they would be."""
    whole = separated(b"".join(pieces))
    fields = [field for field in header.read(whole) if field.name]
    body = whole[fields[-1].end if fields else 0 :]
    left = [field for field in fields if field.key not in WITHOUT]
    expected = b"".join(whole[field.start : field.end] for field in left) + body
    assert separated(b"".join(pieces), without=WITHOUT) == expected


@settings(deadline=None)
@given(st.lists(st.sampled_from([piece for piece in _PIECES if piece not in (b"\r", b"\n")])))
def test_all_before_the_empty_line_are_fields(pieces: list[bytes]) -> None:
    """Behind a field of ours too, which nothing of the author's continues."""
    ours, *theirs = header.read(b"Ours: x\r\n" + separated(b"".join(pieces)))
    assert ours.value == b" x\r\n"
    assert all(field.name for field in theirs)


@pytest.mark.parametrize("octets", [b"x" * 1000, b" " * 1000, b"\r" * 1000, b":" * 1000])
def test_a_line_without_end_is_not_kept(octets: bytes) -> None:
    """What is held back does not grow."""
    separator = Separator()
    for _ in range(100):
        separator.feed(octets)
    assert len(separator._held) <= 2000

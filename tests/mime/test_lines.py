"""Long lines: found wherever the octets are cut, and broken so that nothing is lost."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailframe.mime.lines import LineBreaker, LineScan, broken

LENGTHS = st.sampled_from([0, 1, 76, 996, 997, 998, 999, 1000, 1995, 1996, 2995])
LINES = st.lists(
    st.one_of(
        LENGTHS.map(lambda length: b"x" * length),
        st.sampled_from([499, 500, 1200]).map(lambda length: "é".encode() * length),
    ),
    max_size=6,
)
CUTS = st.lists(st.integers(0, 6000), max_size=6)


@given(LINES, CUTS)
@settings(deadline=None, max_examples=300)
def test_any_cut_finds_and_breaks_the_same(lines: list[bytes], cuts: list[int]) -> None:
    """998 octets without CRLF are good (RFC 5321 section 4.5.3.1.6), one more is not."""
    octets = b"\r\n".join(lines)
    scan, breaker, written = LineScan(), LineBreaker(), b""
    for start, end in pairwise(sorted({0, len(octets), *(min(x, len(octets)) for x in cuts)})):
        scan.feed(octets[start:end])
        written += breaker.feed(octets[start:end])
    scan.finish()
    written += breaker.finish()
    assert scan.ascii == octets.isascii()
    assert scan.long == any(len(line) > 998 for line in lines)
    assert all(len(line) <= 998 for line in written.split(b"\r\n"))
    assert written.replace(b"\r\n ", b"") == octets
    assert (written == octets) is not scan.long
    assert written.decode() if octets else not written  # no character is cut


def test_octets_without_any_character_are_broken_too() -> None:
    """Continuation octets alone are no UTF-8; they must not make it search for ever."""
    assert broken(b"\x80" * 2500).split(b"\r\n ") == [b"\x80" * 998, b"\x80" * 997, b"\x80" * 505]


@pytest.mark.parametrize("ending", [b"", b"\r\n"])
def test_the_last_line_counts_without_its_end(ending: bytes) -> None:
    """It gets a CRLF on the wire."""
    assert not LineScan.of(b"a\r\n" + b"x" * 998 + ending).long
    assert LineScan.of(b"a\r\n" + b"x" * 999 + ending).long
    assert broken(b"x" * 999 + ending) == b"x" * 998 + b"\r\n x" + ending

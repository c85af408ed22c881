"""Octets from a pipe, in any pieces, back into lines and frames."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mailframe.wire.frames import Frames, Lines, Read, TooLong, frame, read_frame


def cut(octets: bytes, places: list[int]) -> list[bytes]:
    ends = sorted(place % (len(octets) + 1) for place in places)
    return [octets[a:b] for a, b in zip([0, *ends], [*ends, len(octets)], strict=True)]


def exactly(source: io.BytesIO) -> Read:
    def read(size: int) -> bytes:
        octets = source.read(size)
        if len(octets) < size:
            raise EOFError
        return octets

    return read


PLACES = some.lists(some.integers(0, 1000), max_size=9)


@given(some.lists(some.binary(max_size=30)), PLACES)
def test_frames_come_out_as_they_went_in(given: list[bytes], places: list[int]) -> None:
    """However the octets are cut; who may block reads the same."""
    octets = b"".join(map(frame, given))
    frames = Frames(30)
    assert [each for piece in cut(octets, places) for each in frames.feed(piece)] == given
    read = exactly(io.BytesIO(octets))
    assert [read_frame(read) for _ in given] == given
    with pytest.raises(EOFError):
        read_frame(read)


def test_a_frame_may_not_be_longer_than_the_limit() -> None:
    """It is refused when it is announced, once, and nothing is taken after it."""
    frames = Frames(5)
    heard = []
    with pytest.raises(TooLong):
        for each in frames.feed(frame(b"12345") + frame(b"123456")[:4]):
            heard.append(each)
    assert heard == [b"12345"]
    assert list(frames.feed(frame(b"1"))) == []
    assert frames.rest() == b""


@given(some.lists(some.binary(max_size=30).map(lambda line: line.replace(b"\n", b""))), PLACES)
def test_lines_come_out_as_they_went_in(given: list[bytes], places: list[int]) -> None:
    """However the octets are cut; what has no end yet is the rest."""
    octets = b"".join(line + b"\n" for line in given)
    lines = Lines(1000)
    assert [each for piece in cut(octets, places) for each in lines.feed(piece)] == given
    assert list(lines.feed(b"Trace")) == []
    assert (lines.rest(), lines.rest()) == (b"Trace", b"")


def test_a_line_without_end_fills_no_memory() -> None:
    """It comes in parts once it is longer than the limit."""
    lines = Lines(10)
    assert list(lines.feed(b"x" * 10)) == []
    assert list(lines.feed(b"y")) == [b"x" * 10 + b"y"]
    assert list(lines.feed(b"z\n")) == [b"z"]

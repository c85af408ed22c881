"""Fields that cannot break out of themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailframe.mime import header
from mailframe.mime.write import field_octets, fold, fold_words


def written(text: str, utf8: bool = False) -> bytes:
    octets = field_octets(text, utf8)
    assert octets is not None
    return octets


def test_a_filters_field_gets_its_line_end() -> None:
    """Plain and folded fields are kept as they are."""
    assert field_octets("X-Spam: no", False) == b"X-Spam: no\r\n"
    assert field_octets("X-A: one\r\n two\n\tthree", False) == b"X-A: one\r\n two\r\n\tthree\r\n"


def test_a_field_cannot_start_another_one() -> None:
    """A line break without white space behind it becomes a fold; an empty line goes."""
    assert field_octets("X-A: one\r\nBcc: two", False) == b"X-A: one\r\n\tBcc: two\r\n"
    assert field_octets("X-A: one\n\nbody", False) == b"X-A: one\r\n\tbody\r\n"
    assert field_octets("X-A: one\rBcc: x", False) == b"X-A: one\r\n\tBcc: x\r\n"
    assert field_octets("X-A: a\x00b\x0bc", False) == b"X-A: abc\r\n"


@pytest.mark.parametrize("text", ["no colon", ": no name", "two words: x", "na\r\nme: x", "ü: x"])
def test_what_is_no_field_is_none(text: str) -> None:
    """The caller leaves it out."""
    assert field_octets(text, True) is None


def test_non_ascii_only_with_smtputf8() -> None:
    """RFC 6532: UTF-8 in header fields needs SMTPUTF8."""
    assert field_octets("X-A: ü", False) == b"X-A: ?\r\n"
    assert field_octets("X-A: ü", True) == "X-A: ü\r\n".encode()


def test_long_lines_are_folded() -> None:
    """RFC 5322 section 2.1.1: 998 octets; at white space if there is any."""
    rows = written("X-A: " + "word " * 400).split(b"\r\n")
    assert all(len(row) <= 998 for row in rows)
    assert all(row[:1] in (b" ", b"\t") for row in rows[1:-1])
    rows = written("X-A: " + "ü" * 1200, True).split(b"\r\n")
    assert all(len(row) <= 998 for row in rows)
    assert b"".join(row.lstrip(b"\t") for row in rows).decode() == "X-A: " + "ü" * 1200


@given(st.text())
def test_no_text_breaks_out_of_its_field(value: str) -> None:
    """Whatever a filter writes, it stays one field without an empty line."""
    octets = written(f"X-A: {value}", True)
    lines = octets.split(b"\r\n")
    assert lines[-1] == b""
    assert lines[0].startswith(b"X-A:")
    assert all(line[:1] in (b" ", b"\t") and line.strip() for line in lines[1:-1])
    assert b"\r" not in b"".join(lines) and b"\n" not in b"".join(lines)
    assert [field.name for field in header.read(octets)] == [b"X-A"]


@given(st.text(alphabet="aü \t", max_size=50).map(lambda text: (text * 60).encode()))
def test_folded_pieces_are_the_line(line: bytes) -> None:
    """Cut at white space it is the same octets; else only tabs come to it."""
    pieces = fold(line)
    assert all(len(piece) <= 998 for piece in pieces)
    assert b"".join(pieces).replace(b"\t", b"") == line.replace(b"\t", b"")


def test_words_are_folded_early() -> None:
    """Lines that people like to read; a word that fits nowhere is cut."""
    assert fold_words(b"X-A", b"one two") == b"X-A: one two\r\n"
    rows = fold_words(b"X-A", b"word " * 40).split(b"\r\n")
    assert len(rows) > 2 and all(len(row) <= 78 for row in rows)
    rows = fold_words(b"X-A", b"x" * 3000).split(b"\r\n")
    assert all(len(row) <= 998 for row in rows) and all(row[:1] == b" " for row in rows[1:-1])

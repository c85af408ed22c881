"""The header section as it streams by, and fields that cannot break out of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailframe.reception.header import HEADER_TOO_BIG, HeaderScan, field_octets
from mailframe.settings import Limits
from mailframe.smtp.reply import MAIL_LOOP

MESSAGE = (
    b"Received: from a\r\n\tby b; Received: not a field\r\n"
    b"rEcEiVeD : from c\r\n"
    b"X-Received: from d\r\n"
    b"Message-ID: <1@example>\r\n"
    b"Subject: x\r\n Date: folded\r\n"
    b"\r\n"
    b"Date: in the body\r\nReceived: in the body\r\n"
)


def scanned(*chunks, limits=None):
    scan = HeaderScan(limits or Limits())
    for chunk in chunks:
        scan.feed(chunk)
    return scan


def facts(scan):
    return (scan.hops, scan.has_message_id, scan.has_date, scan.lines, scan.size, scan.ended)


def test_fields_are_counted_at_line_starts_in_the_header_only():
    """Folded lines, other names and the body do not count."""
    scan = scanned(MESSAGE)
    assert (scan.hops, scan.has_message_id, scan.has_date) == (2, True, False)
    assert scan.ended
    assert scan.lines == 7


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7, 16, 64])
def test_any_cut_gives_the_same_facts(step):
    """Chunk edges do not matter."""
    chunks = [MESSAGE[at : at + step] for at in range(0, len(MESSAGE), step)]
    assert facts(scanned(*chunks)) == facts(scanned(MESSAGE))


_PIECES = [b"Received:", b"Date", b":", b" ", b"\r\n", b"\r", b"x" * 40, b"message-id:", b"\t"]


@given(st.lists(st.sampled_from(_PIECES)), st.data())
def test_any_cut_of_any_header_gives_the_same_facts(pieces, data):
    """A property over strange headers, too."""
    octets = b"".join(pieces)
    cut = data.draw(st.integers(0, len(octets)))
    assert facts(scanned(octets[:cut], octets[cut:])) == facts(scanned(octets))


def test_an_empty_header_ends_at_once():
    """A message may begin with its body."""
    scan = scanned(b"\r\nDate: no\r\n")
    assert scan.ended
    assert not scan.has_date


def test_too_many_hops_are_a_loop():
    """RFC 5321 section 6.3: Received: fields are counted."""
    limits = Limits(hops=2)
    assert scanned(b"Received: x\r\n" * 2, limits=limits).refusal is None
    assert scanned(b"Received: x\r\n" * 3, limits=limits).refusal == MAIL_LOOP


def test_a_big_header_section_is_refused():
    """By octets and by lines, and without waiting for its end."""
    assert scanned(b"a" * 101, limits=Limits(header_size=100)).refusal == HEADER_TOO_BIG
    assert scanned(b"a:\r\n" * 6, limits=Limits(header_lines=5)).refusal == HEADER_TOO_BIG
    assert scanned(b"a:\r\n" * 5, limits=Limits(header_lines=5)).refusal is None


def test_a_header_without_end_keeps_no_octets():
    """What is kept between chunks does not grow."""
    scan = HeaderScan(Limits())
    for _ in range(100):
        scan.feed(b"y" * 1000)
    assert len(scan._carry) <= 64


def test_a_filters_field_gets_its_line_end():
    """Plain and folded fields are kept as they are."""
    assert field_octets("X-Spam: no", False) == b"X-Spam: no\r\n"
    assert field_octets("X-A: one\r\n two\n\tthree", False) == b"X-A: one\r\n two\r\n\tthree\r\n"


def test_a_field_cannot_start_another_one():
    """A line break without white space behind it becomes a fold; an empty line goes."""
    assert field_octets("X-A: one\r\nBcc: two", False) == b"X-A: one\r\n\tBcc: two\r\n"
    assert field_octets("X-A: one\n\nbody", False) == b"X-A: one\r\n\tbody\r\n"
    assert field_octets("X-A: one\rBcc: x", False) == b"X-A: one\r\n\tBcc: x\r\n"
    assert field_octets("X-A: a\x00b\x0bc", False) == b"X-A: abc\r\n"


@pytest.mark.parametrize("text", ["no colon", ": no name", "two words: x", "na\r\nme: x", "ü: x"])
def test_what_is_no_field_is_none(text):
    """The caller leaves it out."""
    assert field_octets(text, True) is None


def test_non_ascii_only_with_smtputf8():
    """RFC 6532: UTF-8 in header fields needs SMTPUTF8."""
    assert field_octets("X-A: ü", False) == b"X-A: ?\r\n"
    assert field_octets("X-A: ü", True) == "X-A: ü\r\n".encode()


def test_long_lines_are_folded():
    """RFC 5322 section 2.1.1: 998 octets; at white space where there is any."""
    rows = field_octets("X-A: " + "word " * 400, False).split(b"\r\n")
    assert all(len(row) <= 998 for row in rows)
    assert all(row[:1] in (b" ", b"\t") for row in rows[1:-1])
    rows = field_octets("X-A: " + "ü" * 1200, True).split(b"\r\n")
    assert all(len(row) <= 998 for row in rows)
    assert b"".join(row.lstrip(b"\t") for row in rows).decode() == "X-A: " + "ü" * 1200


@given(st.text())
def test_no_text_breaks_out_of_its_field(value):
    """Whatever a filter writes, it stays one field without an empty line."""
    octets = field_octets(f"X-A: {value}", True)
    lines = octets.split(b"\r\n")
    assert lines[-1] == b""
    assert lines[0].startswith(b"X-A:")
    assert all(line[:1] in (b" ", b"\t") and line.strip() for line in lines[1:-1])
    assert b"\r" not in b"".join(lines) and b"\n" not in b"".join(lines)

"""Dots and line ends where they are hardest: at the edges of chunks."""

from __future__ import annotations

import pytest

from mailframe.smtp.inbox import Inbox
from mailframe.smtp.transparency import BadLineEnds, Dotter, LineEnds, Undotter, clean_length


def test_a_dot_at_every_edge() -> None:
    """RFC 5321 section 4.5.2: the first line and every chunk edge have their dots doubled."""
    for cut in range(8):
        dotter = Dotter()
        content = b".\r\n.a\r\n"
        wire = dotter.feed(content[:cut]) + dotter.feed(content[cut:]) + dotter.finish()
        assert wire == b"..\r\n..a\r\n.\r\n"


def test_the_last_line_gets_its_end() -> None:
    """The data end in CRLF dot CRLF, whether the content ends in CRLF or not."""
    dotter = Dotter()
    assert dotter.feed(b"a") + dotter.finish() == b"a\r\n.\r\n"
    assert Dotter().finish() == b".\r\n"


@pytest.mark.parametrize("content", [b"a\nb", b"a\rb", b"\n", b"\r", b"\0", b"a\r\n.\n", b"\r\r\n"])
def test_bad_line_ends_are_not_passed_on(content: bytes) -> None:
    """They raise at the latest at the end, and the end is never written."""
    dotter = Dotter()
    with pytest.raises(BadLineEnds):
        for octet in content:
            dotter.feed(bytes([octet]))
        dotter.finish()
    with pytest.raises(BadLineEnds):
        dotter.feed(b"more")
    with pytest.raises(BadLineEnds):
        dotter.finish()


def test_what_follows_the_end_is_not_touched() -> None:
    """The octets after CRLF dot CRLF are given back as they are."""
    assert Undotter().feed(b"a\r\n.\r\nQUIT\r\n") == (b"a\r\n", True, b"QUIT\r\n")
    assert Undotter().feed(b".\r\n.\r\n") == (b"", True, b".\r\n")


def test_an_offence_cuts_the_content() -> None:
    """What comes before it is given, what comes after is not, and the end is still found."""
    undotter = Undotter()
    assert undotter.feed(b"a\r\n..b\nc\r\n") == (b"a\r\n.b", False, b"")
    assert undotter.offence
    assert undotter.feed(b"d\r\n.\r\nrest") == (b"", True, b"rest")


def test_clean_length() -> None:
    """The place of the first bare CR, bare LF or NUL."""
    for octets, length in (
        (b"", 0),
        (b"a\r\nb\r\n", 6),
        (b"a\nb", 1),
        (b"a\r\n\n", 3),
        (b"a\r\r\n", 1),
        (b"a\r\nb\r", 4),
        (b"a\0", 1),
        (b"\n\r", 0),
        (b"\r\r\n\n", 0),
        (b"a\r\n\r", 3),
        (b"\r\n" * 9, 18),
    ):
        assert clean_length(octets) == length


def test_line_ends_keep_a_cr_back() -> None:
    """A CR waits for what follows it; at the end it is bare."""
    ends = LineEnds()
    assert ends.feed(b"a\r") == b"a"
    assert ends.feed(b"") == b""
    assert ends.feed(b"\nb\r") == b"\r\nb"
    ends.finish()
    assert ends.offence
    assert ends.feed(b"c") == b""


def test_the_inbox_gives_lines_and_octets() -> None:
    """Lines within the limit, octets up to a count, and what is left."""
    inbox = Inbox()
    inbox.put(b"one\r\ntwo\r\nthr")
    assert inbox.line(5) == b"one"
    assert inbox.line(4) is None
    assert inbox.head(3) == b"two"
    assert len(inbox) == 8
    assert inbox.line(5) == b"two"
    inbox.put(b"ee\r")
    assert inbox.line(100) is None
    assert inbox.take(3) == b"thr"
    assert inbox.take(100) == b"ee\r"
    assert inbox.take_all() == b""
    inbox.put(b"four")
    assert inbox.take_all() == b"four"
    assert len(inbox) == 0


def test_the_inbox_forgets_a_skipped_line() -> None:
    """A skipped line is not kept, wherever its end comes."""
    inbox = Inbox()
    inbox.put(b"abc")
    inbox.skip_line()
    assert len(inbox) == 0
    inbox.put(b"def\r")
    assert inbox.line(100) is None
    inbox.put(b"\nnext\r\n")
    assert inbox.line(100) == b"next"
    inbox.put(b"xyz\r\nlast\r\n")
    inbox.skip_line()
    assert inbox.line(100) == b"last"

"""Replies: what cannot be written wrongly, and how they go on the wire."""

from __future__ import annotations

import pytest

from mailframe.smtp import reply as stock
from mailframe.smtp.reply import MAX_REPLY_LINE, Reply


@pytest.mark.parametrize(
    ("code", "text", "status"),
    [
        (199, "x", None),
        (600, "x", None),
        (250, "x", "5.0.0"),
        (550, "x", "4.0.0"),
        (354, "x", "3.0.0"),
        (354, "x", "2.0.0"),
        (550, "x", "5.1"),
        (550, "x", "5.1.1 "),
        (550, "x", "5.1000.1"),
        (550, "x\r", "5.1.1"),
        (550, "x\0", None),
        (550, "x\x7f", None),
    ],
)
def test_a_wrong_reply_cannot_be_made(code: int, text: str, status: str | None) -> None:
    """A code that is none, a status of another class and control characters raise."""
    with pytest.raises(ValueError, match=r".+"):
        Reply(code, text, status)


def test_one_line() -> None:
    """A reply is its code, its enhanced status and its text (RFC 2034 section 4)."""
    assert Reply(250, "OK", "2.0.0").to_bytes() == b"250 2.0.0 OK\r\n"
    assert Reply(354, "Go").to_bytes() == b"354 Go\r\n"
    assert Reply(334, "").to_bytes() == b"334 \r\n"


def test_several_lines() -> None:
    """Each line has the code and the enhanced status (RFC 2034 section 4)."""
    reply = Reply(550, "No\n\nNever", "5.1.1")
    assert reply.to_bytes() == b"550-5.1.1 No\r\n550-5.1.1 \r\n550 5.1.1 Never\r\n"
    assert reply.lines == ["5.1.1 No", "5.1.1 ", "5.1.1 Never"]
    assert str(reply) == "550 5.1.1 No / 550 5.1.1  / 550 5.1.1 Never"


def test_a_long_text_is_broken() -> None:
    """No line is longer than 512 octets (RFC 5321 section 4.5.3.1.5), and nothing is lost."""
    lines = Reply(550, "x" * 1500, "5.1.1").to_bytes().split(b"\r\n")[:-1]
    assert all(len(line) + 2 <= MAX_REPLY_LINE for line in lines)
    assert b"".join(line[10:] for line in lines) == b"x" * 1500
    assert [line[3:4] for line in lines] == [b"-"] * (len(lines) - 1) + [b" "]


def test_other_than_ascii_is_escaped() -> None:
    """Without SMTPUTF8 a reply is ASCII (RFC 6531 section 3.7.4)."""
    assert Reply(550, "Jörg", None).to_bytes() == b"550 J\\xf6rg\r\n"


def test_classes() -> None:
    """2xx and 3xx are positive, 4xx temporary, 5xx permanent."""
    for code, positive, temporary, permanent in (
        (250, True, False, False),
        (354, True, False, False),
        (451, False, True, False),
        (550, False, False, True),
    ):
        reply = Reply(code, "x")
        assert (reply.positive, reply.temporary, reply.permanent) == (
            positive,
            temporary,
            permanent,
        )


def test_stock_replies() -> None:
    """Each stock reply but the 3xx has an enhanced status, and fits one line."""
    replies = [value for value in vars(stock).values() if isinstance(value, Reply)]
    assert len(replies) > 30
    for reply in replies:
        assert (reply.status is None) is (reply.code // 100 == 3)
        assert reply.to_bytes().count(b"\r\n") == 1

"""Replies that cannot be wrong, and what is offered."""

from __future__ import annotations

import pytest

from mailframe.pop3 import reply
from mailframe.pop3.offer import Offer, capability_lines, greeting, mechanism_lines
from mailframe.pop3.reply import Reply, ResponseCode, err, ok


def test_how_replies_are_spelled() -> None:
    """RFC 1939 section 3 and RFC 2449 section 8: the sign, the response code, the text."""
    assert ok().to_bytes() == b"+OK\r\n"
    assert ok("2 messages").to_bytes() == b"+OK 2 messages\r\n"
    assert err("No").to_bytes() == b"-ERR No\r\n"
    assert err("Locked", ResponseCode.IN_USE).to_bytes() == b"-ERR [IN-USE] Locked\r\n"
    assert err("", ResponseCode.SYS_TEMP).to_bytes() == b"-ERR [SYS/TEMP]\r\n"
    assert greeting("mx.example").to_bytes() == b"+OK mx.example POP3 ready\r\n"


def test_a_reply_is_one_line() -> None:
    """RFC 2449 section 4: at most 512 octets, in ASCII, and a line end only at the end."""
    assert ok("a" * 1000).to_bytes() == b"+OK " + b"a" * 506 + b"\r\n"
    assert ok("ä").to_bytes() == b"+OK \\xe4\r\n"
    for text in ("a\r\nb", "a\nb", "a\x00", "a\x85b"):
        with pytest.raises(ValueError, match="control"):
            ok(text)


def test_only_a_response_code_looks_like_one() -> None:
    """RFC 2449 section 6.4: a text that begins with a bracket would be read as a code."""
    with pytest.raises(ValueError, match="response code"):
        err("[127.0.0.1] is not welcome")
    with pytest.raises(ValueError, match="refused"):
        Reply(True, "Fine", ResponseCode.AUTH)


def test_common_replies_are_within_a_line() -> None:
    """None of the replies that the module names is cut."""
    named = [each for each in vars(reply).values() if isinstance(each, Reply)]
    assert len(named) > 20
    assert all(each.to_bytes() == f"{each}\r\n".encode("ascii") for each in named)


def test_lines_of_an_offer() -> None:
    """Each is a line of its own; what is not offered is in none."""
    offer = Offer(user=True, auth=("PLAIN", "LOGIN"), expire=30)
    lines = capability_lines(offer).split(b"\r\n")
    assert {b"USER", b"SASL PLAIN LOGIN", b"EXPIRE 30"} <= set(lines)
    assert not [line for line in lines if line.startswith((b"STLS", b"LOGIN-DELAY", b"UTF8"))]
    assert mechanism_lines(offer) == b"PLAIN\r\nLOGIN\r\n"
    assert mechanism_lines(Offer()) == b""

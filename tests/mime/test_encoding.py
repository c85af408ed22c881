"""The two encodings: 7-bit lines that become the same octets again."""

from __future__ import annotations

import base64
import quopri

from hypothesis import example, given, settings
from hypothesis import strategies as st

from mailframe.mime.encoding import base64_lines, quoted_printable


def assert_lines(encoded: bytes) -> None:
    """RFC 2045: lines of 76 characters at most, ended by CRLF."""
    assert encoded.isascii()
    lines = encoded.split(b"\r\n")
    assert all(len(line) <= 76 and b"\r" not in line and b"\n" not in line for line in lines)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=5).map(b"\r\n".join))
@example(b"\xe9" * 1000)
@example(b"x" * 1000 + b"\r\n" + b"y" * 1000)
def test_quoted_printable(text: bytes) -> None:
    """Of lines that end with CRLF."""
    text = text.replace(b"\r\n", b"\0").replace(b"\r", b"").replace(b"\n", b"")
    text = text.replace(b"\0", b"\r\n")
    encoded = quoted_printable(text)
    assert_lines(encoded)
    assert quopri.decodestring(encoded) == text


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_base64(octets: bytes) -> None:
    """Of anything."""
    encoded = base64_lines(octets)
    assert_lines(encoded)
    assert base64.b64decode(encoded) == octets

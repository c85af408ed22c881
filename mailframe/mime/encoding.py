"""Bodies in MIME's two encodings that use 7-bit lines (RFC 2045 sections 6.7 and 6.8)."""

from __future__ import annotations

import base64
import binascii
import re

_LINE_END = re.compile(rb"\r\n|\r|\n")
_NO_BASE64 = bytes(range(128, 256)) + b"\0"
_CODED = frozenset({"uuencode", "uue", "mac-binhex40"})


def quoted_printable(text: bytes) -> bytes:
    """Text with CRLF line ends in quoted-printable; the line ends are kept."""
    encoded = binascii.b2a_qp(text, istext=True)
    # The library breaks lines with LF alone if the text has no line end.
    return encoded if b"\r\n" in text else encoded.replace(b"\n", b"\r\n")


def base64_lines(octets: bytes) -> bytes:
    """Any octets in base64, in lines that end with CRLF."""
    return base64.encodebytes(octets).replace(b"\n", b"\r\n")


def base64_clean(body: bytes) -> bytes:
    """A body in base64 without its non-ASCII octets, which readers ignore (section 6.8)."""
    body = body.translate(None, _NO_BASE64)
    if body.count(b"\r\n") == body.count(b"\r") == body.count(b"\n"):
        return body
    return _LINE_END.sub(b"\r\n", body)


def plain_of(encoding: str, body: bytes) -> bytes | None:
    """The decoded body; None if it cannot be decoded here, or is base64.

    In quoted-printable everything but "=XX" stands for itself, also 8-bit octets. An unknown
    encoding, such as "8 bit", counts as none, because readers see the octets as they are.
    """
    if encoding == "quoted-printable":
        return binascii.a2b_qp(body)
    if encoding == "base64" or encoding.startswith("x-") or encoding in _CODED:
        return None
    return body

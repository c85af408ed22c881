"""Bodies in MIME's two encodings that use 7-bit lines (RFC 2045 sections 6.7 and 6.8)."""

from __future__ import annotations

import base64
import binascii


def quoted_printable(text: bytes) -> bytes:
    """Text with CRLF line ends in quoted-printable; the line ends are kept."""
    encoded = binascii.b2a_qp(text, istext=True)
    # It breaks lines with LF alone if the text has no line end.
    return encoded if b"\r\n" in text else encoded.replace(b"\n", b"\r\n")


def base64_lines(octets: bytes) -> bytes:
    """Any octets in base64, in lines ended by CRLF."""
    return base64.encodebytes(octets).replace(b"\n", b"\r\n")

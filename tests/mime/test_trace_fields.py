"""Received: and Message-ID: as this host writes them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailframe.mime.trace_fields import message_id, received, with_keyword


def written(**facts: Any) -> bytes:
    """Of a client that has no peculiarities, unless told otherwise."""
    usual = {
        "hello": "client.example",
        "peer": "192.0.2.7",
        "hostname": "mx.example.org",
        "protocol": "ESMTPSA",
        "tls": "",
        "id": "ID1",
        "mailbox": "",
        "second": 1763849640,
    }
    return received(**{**usual, **facts})


def test_received_has_all_clauses() -> None:
    """RFC 5321 section 4.4, RFC 3848."""
    assert written(tls="TLSv1.3 TLS_AES_256_GCM_SHA384", mailbox="alice@example.org") == (
        b"Received: from client.example ([192.0.2.7])\r\n"
        b"\tby mx.example.org with ESMTPSA (TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"
        b"\tid ID1\r\n"
        b"\tfor <alice@example.org>;\r\n"
        b"\tSat, 22 Nov 2025 22:14:00 +0000\r\n"
    )


def test_received_without_what_may_be_absent() -> None:
    """No mailbox, no TLS, no name, no address."""
    assert written(hello="", peer="") == (
        b"Received: from unknown\r\n\tby mx.example.org with ESMTPSA\r\n\tid ID1;\r\n"
        b"\tSat, 22 Nov 2025 22:14:00 +0000\r\n"
    )


def test_an_ipv6_peer_has_its_tag() -> None:
    """RFC 5321 section 4.1.3."""
    assert b"from client.example ([IPv6:2001:db8::1])\r\n" in written(peer="2001:db8::1")


@pytest.mark.parametrize(
    ("protocol", "utf8", "keyword"),
    [
        ("SMTP", False, "SMTP"),
        ("ESMTPS", False, "ESMTPS"),
        ("ESMTP", True, "UTF8SMTP"),
        ("ESMTPSA", True, "UTF8SMTPSA"),
        ("LMTP", True, "UTF8LMTP"),
    ],
)
def test_with_keywords(protocol: str, utf8: bool, keyword: str) -> None:
    """RFC 3848, and RFC 6531 section 4.3 for SMTPUTF8."""
    assert with_keyword(protocol, utf8) == keyword
    assert f" with {keyword}\r\n".encode() in written(protocol=protocol, utf8=utf8)


@given(st.text(max_size=300), st.booleans())
def test_no_hello_name_breaks_out(name: str, utf8: bool) -> None:
    """Whatever a client calls itself, the field keeps its lines and its comment."""
    octets = written(hello=name, mailbox="a@b", utf8=utf8)
    lines = octets.decode().split("\r\n")
    assert len(lines) == 6
    assert lines[0].startswith("Received: from ")
    assert lines[0].endswith(" ([192.0.2.7])")
    shown = lines[0][len("Received: from ") : -len(" ([192.0.2.7])")]
    assert not set(shown) & set('()\\"<>@;, \t\r\n\x00')
    assert utf8 or octets.isascii()


def test_message_id() -> None:
    """RFC 6409 section 8.3."""
    assert message_id("ID1", "mx.example.org") == b"Message-ID: <ID1@mx.example.org>\r\n"

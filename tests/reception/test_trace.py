"""Received:, Message-ID: and Date: as this host writes them."""

import email.utils
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailframe.message import Client, Envelope, Recipient, Tls
from mailframe.reception import trace
from mailframe.smtp.address import Mailbox

CLIENT = Client("192.0.2.7", hello="client.example", protocol="ESMTPSA")
ALICE = Recipient(Mailbox("alice", "example.org"))
BOB = Recipient(Mailbox("bob", "example.org"))


def envelope(client=CLIENT, recipients=(ALICE,), **more):
    return Envelope("ID1", client, None, recipients=recipients, received=1763849640.5, **more)


def test_received_has_all_clauses():
    """RFC 5321 section 4.4, RFC 3848."""
    client = replace(CLIENT, tls=Tls("TLSv1.3", "TLS_AES_256_GCM_SHA384"))
    assert trace.received(envelope(client), "mx.example.org") == (
        b"Received: from client.example ([192.0.2.7])\r\n"
        b"\tby mx.example.org with ESMTPSA (TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"
        b"\tid ID1\r\n"
        b"\tfor <alice@example.org>;\r\n"
        b"\tSat, 22 Nov 2025 22:14:00 +0000\r\n"
    )


def test_several_recipients_are_not_shown():
    """RFC 5321 section 7.2: for would tell of blind copies."""
    octets = trace.received(envelope(recipients=(ALICE, BOB)), "mx")
    assert b"for <" not in octets
    assert b"\tid ID1;\r\n" in octets


def test_ipv6_and_unix_peers():
    """An IPv6 literal has its tag (RFC 5321 section 4.1.3); a unix socket has no address."""
    ipv6 = trace.received(envelope(replace(CLIENT, address="2001:db8::1")), "mx")
    assert b"([IPv6:2001:db8::1])" in ipv6
    unix = trace.received(envelope(replace(CLIENT, address="unix")), "mx")
    assert unix.startswith(b"Received: from client.example\r\n")


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
def test_with_keyword(protocol, utf8, keyword):
    """RFC 3848, and RFC 6531 section 4.3 for SMTPUTF8."""
    assert trace.with_keyword(replace(CLIENT, protocol=protocol), utf8) == keyword


def test_an_address_that_only_smtputf8_can_carry():
    """Shown where the message is SMTPUTF8, left out otherwise."""
    jose = (Recipient(Mailbox("josé", "example.org")),)
    assert b"for <" not in trace.received(envelope(recipients=jose), "mx")
    octets = trace.received(envelope(recipients=jose, smtputf8=True), "mx")
    assert "for <josé@example.org>".encode() in octets


@given(st.text(max_size=300), st.booleans())
def test_no_hello_name_breaks_out(name, utf8):
    """Whatever a client calls itself, the field keeps its lines and its comment."""
    octets = trace.received(envelope(replace(CLIENT, hello=name), smtputf8=utf8), "mx")
    lines = octets.decode().split("\r\n")
    assert len(lines) == 6
    assert lines[0].startswith("Received: from ")
    assert lines[0].endswith(" ([192.0.2.7])")
    shown = lines[0][len("Received: from ") : -len(" ([192.0.2.7])")]
    assert not set(shown) & set('()\\"<>@;, \t\r\n\x00')
    assert utf8 or octets.isascii()


def test_the_date_is_one_that_others_read():
    """RFC 5322 section 3.3."""
    parsed = email.utils.parsedate_to_datetime(trace.date(1763849640))
    assert parsed.timestamp() == 1763849640
    assert trace.date(0) == "Thu, 01 Jan 1970 00:00:00 +0000"


def test_message_id_and_date_fields():
    """RFC 6409 section 8: what a submission lacks."""
    assert trace.message_id(envelope(), "mx.example.org") == b"Message-ID: <ID1@mx.example.org>\r\n"
    assert trace.date_field(envelope()) == b"Date: Sat, 22 Nov 2025 22:14:00 +0000\r\n"

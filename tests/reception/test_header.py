"""The header section that comes in, and what this host puts on top of it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailframe.message import Client, Envelope, Recipient, Tls
from mailframe.reception.header import HEADER_TOO_BIG, missing, received, refusal, scan
from mailframe.settings import Limits
from mailframe.smtp.address import Mailbox
from mailframe.smtp.reply import MAIL_LOOP

CLIENT = Client("192.0.2.7", hello="client.example", protocol="ESMTPSA")
ALICE = Recipient(Mailbox("alice", "example.org"))
BOB = Recipient(Mailbox("bob", "example.org"))


def envelope(client=CLIENT, recipients=(ALICE,), **more):
    return Envelope("ID1", client, None, recipients=recipients, received=1763849640.5, **more)


def scanned(octets, limits=None):
    found = scan(limits or Limits())
    found.feed(octets)
    return found


def test_too_many_hops_are_a_loop():
    """RFC 5321 section 6.3: Received: fields are counted."""
    limits = Limits(hops=2)
    assert refusal(scanned(b"Received: x\r\n" * 2, limits)) is None
    assert refusal(scanned(b"Received: x\r\n" * 3, limits)) == MAIL_LOOP


def test_a_big_header_section_is_refused():
    """By octets and by lines, and without waiting for its end."""
    assert refusal(scanned(b"a" * 101, Limits(header_size=100))) == HEADER_TOO_BIG
    assert refusal(scanned(b"a:\r\n" * 6, Limits(header_lines=5))) == HEADER_TOO_BIG
    assert refusal(scanned(b"a:\r\n" * 5, Limits(header_lines=5))) is None


def test_received_has_all_clauses():
    """RFC 5321 section 4.4, RFC 3848."""
    client = replace(CLIENT, tls=Tls("TLSv1.3", "TLS_AES_256_GCM_SHA384"))
    assert received(envelope(client), "mx.example.org") == (
        b"Received: from client.example ([192.0.2.7])\r\n"
        b"\tby mx.example.org with ESMTPSA (TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"
        b"\tid ID1\r\n"
        b"\tfor <alice@example.org>;\r\n"
        b"\tSat, 22 Nov 2025 22:14:00 +0000\r\n"
    )


def test_several_recipients_are_not_shown():
    """RFC 5321 section 7.2: for would tell of blind copies."""
    octets = received(envelope(recipients=(ALICE, BOB)), "mx")
    assert b"for <" not in octets
    assert b"\tid ID1;\r\n" in octets


def test_ipv6_and_unix_peers():
    """An IPv6 literal has its tag (RFC 5321 section 4.1.3); a unix socket has no address."""
    ipv6 = received(envelope(replace(CLIENT, address="2001:db8::1")), "mx")
    assert b"([IPv6:2001:db8::1])" in ipv6
    unix = received(envelope(replace(CLIENT, address="unix")), "mx")
    assert unix.startswith(b"Received: from client.example\r\n")


@pytest.mark.parametrize(("utf8", "keyword"), [(False, b"ESMTPSA"), (True, b"UTF8SMTPSA")])
def test_with_keyword(utf8, keyword):
    """RFC 3848, and RFC 6531 section 4.3 for SMTPUTF8."""
    assert b" with " + keyword + b"\r\n" in received(envelope(smtputf8=utf8), "mx")


def test_an_address_that_only_smtputf8_can_carry():
    """Shown if the message is SMTPUTF8, left out otherwise."""
    jose = (Recipient(Mailbox("josé", "example.org")),)
    assert b"for <" not in received(envelope(recipients=jose), "mx")
    octets = received(envelope(recipients=jose, smtputf8=True), "mx")
    assert "for <josé@example.org>".encode() in octets


@given(st.text(max_size=300), st.booleans())
def test_no_hello_name_breaks_out(name, utf8):
    """Whatever a client calls itself, the field keeps its lines and its comment."""
    octets = received(envelope(replace(CLIENT, hello=name), smtputf8=utf8), "mx")
    lines = octets.decode().split("\r\n")
    assert len(lines) == 6
    assert lines[0].startswith("Received: from ")
    assert lines[0].endswith(" ([192.0.2.7])")
    shown = lines[0][len("Received: from ") : -len(" ([192.0.2.7])")]
    assert not set(shown) & set('()\\"<>@;, \t\r\n\x00')
    assert utf8 or octets.isascii()


def test_a_submission_gets_what_it_lacks():
    """RFC 6409 section 8: Message-ID: and Date:, each if there is none."""
    message_id = b"Message-ID: <ID1@mx.example.org>\r\n"
    date = b"Date: Sat, 22 Nov 2025 22:14:00 +0000\r\n"
    lacks = {
        b"Subject: x\r\n\r\n": message_id + date,
        b"Date: x\r\n\r\n": message_id,
        b"Message-ID: x\r\n\r\n": date,
        b"message-id: x\r\ndate: x\r\n\r\n": b"",
    }
    for head, fields in lacks.items():
        assert missing(envelope(), "mx.example.org", scanned(head)) == fields

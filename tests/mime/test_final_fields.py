"""What final delivery puts on top of a message, and the loops that it finds."""

from __future__ import annotations

import pytest

from mailframe.mime.final_fields import delivered_to, final_fields, is_among


def test_the_sender_and_the_recipient_are_on_top() -> None:
    """Return-Path and Delivered-To, and X-Original-To if it is wished; <> stays empty."""
    assert final_fields("alice@client.example", "bob@example.org") == (
        b"Return-Path: <alice@client.example>\r\nDelivered-To: bob@example.org\r\n"
    )
    assert final_fields("", "bob@example.org", "info@example.org") == (
        b"Return-Path: <>\r\nDelivered-To: bob@example.org\r\nX-Original-To: info@example.org\r\n"
    )


def test_no_address_adds_a_field() -> None:
    """Line breaks in an address that never was parsed stay inside its field."""
    octets = final_fields("", "bob\r\nX-Evil: 1@example.org")
    assert octets.count(b"\r\n") == 2
    assert b"bob??X-Evil" in octets


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"Subject: x\r\n\r\nDelivered-To: no@body.example\r\n", set()),
        (b"Delivered-To: Bob@Example.org\r\nSubject: x\r\n\r\n", {b"bob@example.org"}),
        (b"DELIVERED-TO:a@b.example \r\ndelivered-to: \tc@d.example\r\n\r\n",
         {b"a@b.example", b"c@d.example"}),
        (b"Delivered-To:\r\n bob@example.org\r\n\r\n", {b"bob@example.org"}),
        (b"X-Delivered-To: bob@example.org\r\n\r\n", set()),
        (b"Delivered-To: bob@example.org", {b"bob@example.org"}),
        (b"Delivered-To: a@b.example\nx: y\n\nDelivered-To: c@d.example", {b"a@b.example"}),
        (b"", set()),
    ],
)  # fmt: skip
def test_where_a_message_has_been(head: bytes, found: set[bytes]) -> None:
    """All Delivered-To fields of the header section."""
    assert delivered_to(head) == found


def test_an_address_is_known_in_any_case() -> None:
    """As addresses are compared by people."""
    assert is_among("Bob@example.org", frozenset({b"bob@example.org"}))
    assert not is_among("eve@example.org", frozenset({b"bob@example.org"}))
    assert not is_among("", frozenset())

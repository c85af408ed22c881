"""What final delivery puts on top of a message, and the loops that it finds."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from mailframe.final_delivery import MAX_HEADER, delivered_to, final_header, has_been_at
from mailframe.message import Content
from mailframe.smtp.address import Mailbox
from mailframe.testing.values import envelope, message, recipient


def test_the_sender_and_the_recipient_are_on_top() -> None:
    """Return-Path and Delivered-To, and X-Original-To where it is wished."""
    to = recipient("bob@example.org", came_from=(Mailbox("info", "example.org"),))
    sent = message(envelope=envelope("alice@client.example", "bob@example.org"))
    assert final_header(sent, to) == (
        b"Return-Path: <alice@client.example>\r\nDelivered-To: bob@example.org\r\n"
    )
    assert final_header(sent, to, original_to=True).endswith(b"X-Original-To: info@example.org\r\n")


def test_the_null_sender_and_a_lists_owner() -> None:
    """<> stays empty; a recipient with a reverse-path of its own has that."""
    bounce = message(envelope=envelope(None, "bob@example.org"))
    assert final_header(bounce, recipient()).startswith(b"Return-Path: <>\r\n")
    owned = replace(recipient(), sender=Mailbox("owner", "lists.example"))
    assert b"Return-Path: <owner@lists.example>" in final_header(message(), owned)


def test_no_address_adds_a_field() -> None:
    """Line breaks in an address that never was parsed stay inside its field."""
    to = recipient(Mailbox("bob\r\nX-Evil: 1", "example.org"))
    assert final_header(message(), to).count(b"\r\n") == 2
    assert b"bob??X-Evil" in final_header(message(), to)


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
    """All Delivered-To fields of the header section, in memory or opened."""
    assert delivered_to(Content(b"", head, len(head))) == found
    opened = Content(b"", lambda: io.BytesIO(head), len(head))
    assert delivered_to(opened) == found


def test_a_header_without_end_is_looked_at_up_to_a_limit() -> None:
    """Nothing grows with what a stranger sends."""
    endless = b"x" * MAX_HEADER + b"\r\nDelivered-To: bob@example.org\r\n"
    assert delivered_to(Content(b"", endless, len(endless))) == frozenset()
    opened = Content(b"", lambda: io.BytesIO(endless), len(endless))
    assert delivered_to(opened) == frozenset()


def test_a_recipient_is_known_in_any_case() -> None:
    """As addresses are compared by people."""
    assert has_been_at(recipient("Bob@example.org"), frozenset({b"bob@example.org"}))
    assert not has_been_at(recipient("eve@example.org"), frozenset({b"bob@example.org"}))

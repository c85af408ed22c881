"""What messages are found by."""

from __future__ import annotations

import pytest

from mailframe.message import Entry, Message, Pending, Recipient
from mailframe.smtp.address import Mailbox
from mailframe.spool.search import concerns, due_at, searchable, sought, waiting
from mailframe.testing.values import content, envelope, recipient


def row(*addresses):
    return waiting([Pending(Recipient(Mailbox(*each)), 5.0) for each in addresses])


def test_what_is_found_by():
    """One domain is named, several are not; addresses are in lower case between line feeds."""
    assert row(("A", "x.example"), ("b", "x.example")).domain == "x.example"
    assert row(("A", "x.example"), ("b", "y.example")).domain == ""
    assert row(("A", "x\n.example")).domain == ""
    assert row(("A", "x.example")).addresses == b"\na@x.example\n"
    assert searchable([Mailbox("Ü", "x.example")]) == "\nü@x.example\n".encode()


def test_the_earliest_counts():
    """A message is due when its first recipient is."""
    pending = [Pending(recipient(), due) for due in (7.0, 5.0, 9.0)]
    assert (waiting(pending).due, waiting(pending).recipients) == (5.0, 3)
    assert {each.due for each in due_at(pending, 1.0)} == {1.0}


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("", True), ("bob@x.example", True), ("BOB@X.example", True), ("all@x.example", True),
        ("alice@client.example", True), ("@x.example", True), ("@client.example", True),
        ("ob@x.example", False), ("x.example", False), ("@sub.x.example", False),
    ],
)  # fmt: skip
def test_whole_addresses_and_whole_domains(address, found):
    """Of the sender, of who waits, and of who stood for them; without minding the case."""
    around = envelope("Alice@client.example", "bob@x.example")
    who = recipient("bob@x.example", came_from=(Mailbox("all", "x.example"),))
    entry = Entry(Message("M1", around, content()), (Pending(who, 0.0),), 0.0)
    assert concerns(entry, sought(address)) is found
    octets = searchable([around.sender, who.address, *who.came_from])
    assert (sought(address) in octets) is found

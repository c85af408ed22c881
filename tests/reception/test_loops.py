"""What has been here before is refused in the dialogue, not by a report to whoever it names."""

from __future__ import annotations

import pytest
from reception_kit import Place, Router

from mailframe.message import NextHop, Redirect, Route
from mailframe.smtp.address import Mailbox


def place():
    own = {name: Route("box", mailbox=Mailbox(name, "example.org")) for name in ("bob", "eve")}
    away = Route("smtp", next_hop=NextHop("away.example"))
    members = Redirect((Mailbox("x", "away.example"),))
    return Place(routes=Router({**own, "list": members, "x": away, "far": away}))


@pytest.mark.parametrize("name", ["bob", "BOB", "list"])
def test_delivered_here_before(name):
    """554 5.4.6 at the end of the content, for mailboxes and aliases of this host."""
    where = place()
    talk = where.greeted()
    assert talk.mail(name.lower()) == ["250", "250"]
    said = talk.message(f"delivered-TO: {name}@Example.org", "", "x")
    assert said == "554 5.4.6 Mail loop detected: delivered here before"
    assert where.stored == []


def test_with_somebody_else_among_the_recipients_it_is_taken():
    """Who has not had it gets it; the others are reported by the queue."""
    for other in ("eve", "far"):
        where = place()
        talk = where.greeted()
        talk.mail("bob", other)
        assert talk.message("Delivered-To: bob@example.org", "", "x").startswith("250 ")


def test_a_mailbox_of_another_host_is_its_business():
    """What it finds in the header section, it must judge itself."""
    talk = place().greeted()
    talk.mail("far")
    assert talk.message("Delivered-To: far@example.org", "", "x").startswith("250 ")


def test_in_the_body_it_is_text():
    """A report that quotes a header section is no loop."""
    talk = place().greeted()
    talk.mail("bob")
    assert talk.message("Subject: x", "", "Delivered-To: bob@example.org").startswith("250 ")

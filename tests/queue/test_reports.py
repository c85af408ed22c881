"""Who is told what became of a message."""

from __future__ import annotations

import errno
import io
from dataclasses import replace

from queue_kit import BODY, BUSY, NO, FullStore, House, status_fields

from mailframe.message import Outcome, Redirect, Status
from mailframe.plugin import Size
from mailframe.settings import BounceSettings
from mailframe.smtp.address import Mailbox
from mailframe.smtp.reply import OK
from mailframe.testing.values import envelope, mailbox, recipient
from mailframe_plugins.queue_memory import MemoryQueue


def test_mail_is_given_up_after_five_days():
    """Then the sender hears that it was tried for too long, with the last reply."""
    house = House()
    house.agent.answers["far.example"] = (Status.DEFERRED, BUSY, "mx.far.example")
    house.send()
    house.wait(432000 - 120, 600)
    assert house.queued() == ["M1"]
    house.wait(300)
    assert house.queued() == []
    assert [to for to, _ in house.reports()] == ["alice@client.example"] * 2
    (fields,) = status_fields(house.reports()[-1][1])
    assert (fields["Action"], fields["Status"]) == ("failed", "4.4.7")
    assert "Greylisted" in fields["Diagnostic-Code"]


def test_a_delay_is_told_once():
    """After four hours the sender is told that it waits, and not told again."""
    house = House()
    house.agent.answers["far.example"] = (Status.DEFERRED, BUSY, "mx.far.example")
    house.send()
    house.wait(14400 - 60)
    assert house.reports() == []
    house.wait(86400, 600)
    ((_, report),) = house.reports()
    (fields,) = status_fields(report)
    assert fields["Action"] == "delayed"
    assert "Will-Retry-Until" in fields
    assert house.pending()[0].warned


def test_success_is_reported_where_it_was_asked_for():
    """NOTIFY=SUCCESS: relayed and delivered are told, passed on is the next host's to tell."""
    house = House()
    house.agent.answers["d@far.example"] = (Status.DELIVERED, OK)
    house.agent.answers["p@far.example"] = (Status.PASSED_ON, OK)
    success = frozenset({"SUCCESS"})
    house.send(*(recipient(f"{who}@far.example", notify=success) for who in "rdp"))
    actions = sorted(status_fields(report)[0]["Action"] for _, report in house.reports())
    assert actions == ["delivered", "relayed"]


def test_never_means_never():
    """NOTIFY=NEVER: no report, not even of a failure."""
    house = House()
    house.agent.answers["far.example"] = (Status.FAILED, NO)
    house.send(recipient("bob@far.example", notify=frozenset({"NEVER"})))
    assert house.queued() == []
    assert house.reports() == []
    assert "not reported" in house.told.verdicts("queue")


def test_an_expanded_alias_is_reported_as_expanded():
    """RFC 3461 section 5.2.7.3: success of several mailboxes is told once."""
    house = House()
    house.router.answers["all@here.example"] = Redirect(
        (mailbox("a@far.example"), mailbox("b@far.example"))
    )
    house.send(recipient("all@here.example", notify=frozenset({"SUCCESS", "FAILURE"})))
    ((_, report),) = house.reports()
    (fields,) = status_fields(report)
    assert fields["Action"] == "expanded"
    assert fields["Final-Recipient"] == "rfc822;all@here.example"


def test_a_list_bounces_to_its_owner():
    """Copies of a list have its owner as sender, who gets their failures."""
    house = House()
    owner = Mailbox("owner", "lists.example")
    house.router.answers["list@here.example"] = Redirect((mailbox("a@far.example"),), owner)
    house.agent.answers["a@far.example"] = (Status.FAILED, NO)
    house.send(recipient("list@here.example", notify=frozenset({"SUCCESS"})))
    copy = next(message for message, _ in house.agent.calls if message.id == "M1")
    assert copy.envelope.sender == owner
    told = {to: status_fields(report)[0]["Action"] for to, report in house.reports()}
    assert told == {"alice@client.example": "delivered", "owner@lists.example": "failed"}


def test_the_null_sender_gets_no_report():
    """A bounce that bounces is dropped with a log line."""
    house = House()
    house.agent.answers["far.example"] = (Status.FAILED, NO)
    house.send(sender=None)
    assert house.queued() == []
    assert len(house.agent.calls) == 1
    assert "double bounce dropped" in house.told.verdicts("queue")


def test_double_bounces_go_where_the_operator_wants_them():
    """And no further: what fails there is dropped."""
    house = House(bounces=BounceSettings(double_bounces=Mailbox("postmaster", "here.example")))
    house.agent.answers["far.example"] = (Status.FAILED, NO)
    house.agent.answers["here.example"] = (Status.FAILED, NO)
    house.send(sender=None)
    assert [to for to, _ in house.reports()][1:] == ["postmaster@here.example"]
    assert house.queued() == []


def test_a_failure_nobody_could_be_told_of_is_not_recorded():
    """The report comes first: while it cannot be stored, the message waits."""
    house = House(store=FullStore)
    store = house.store
    house.agent.answers["far.example"] = (Status.FAILED, NO)
    around = envelope("alice@client.example", "bob@far.example", id="M1", received=house.now())
    draft = store.begin(around)
    draft.write(BODY)
    entry = draft.commit(around, b"", house.now() + 300)
    store.full = True
    house.scheduler.accept(entry, True)
    assert house.queued() == ["M1"]
    store.full = False
    house.wait(120)
    assert [to for to, _ in house.reports()] == ["alice@client.example"]
    assert house.queued() == []


def test_a_big_message_is_returned_by_its_headers():
    """Over return_size a failure brings back the header section only."""
    house = House(bounces=BounceSettings(return_size=Size(100)))
    house.agent.answers["far.example"] = (Status.FAILED, NO)
    house.send(body=BODY + b"x\r\n" * 100)
    ((_, report),) = house.reports()
    assert report.get_payload(2).get_content_type() == "text/rfc822-headers"


def test_a_delay_nobody_could_be_told_of_is_told_later():
    """The sender hears of the delay at the next attempt."""
    house = House(store=FullStore)
    store = house.store
    house.agent.answers["far.example"] = (Status.DEFERRED, BUSY, "mx")
    house.send()
    house.wait(14400 - 1800)
    store.full = True
    house.wait(14400, 600)
    assert not house.pending()[0].warned
    store.full = False
    house.wait(14400, 600)
    assert house.pending()[0].warned
    assert [to for to, _ in house.reports()] == ["alice@client.example"]


def test_a_report_of_what_is_read_in_a_thread():
    """A body that must be opened is opened in a thread, and only as far as it is returned."""
    opened = []

    class InFiles(MemoryQueue):
        def add(self, message, lease):
            body = message.content.body

            def open_body():
                opened.append(message.id)
                if body.startswith(b"broken"):
                    raise OSError(errno.EIO, "damaged")
                return io.BytesIO(body)

            content = replace(message.content, body=open_body)
            return super().add(replace(message, content=content), lease)

    house = House(store=InFiles)
    house.agent.answers["far.example"] = (Status.FAILED, NO)
    house.send(id="M1")
    house.send(id="M2", body=b"broken")
    (_, whole), (_, without) = house.reports()
    assert opened[:1] == ["M1"]
    assert "Hello there." in whole.as_string()
    assert len(without.get_payload()) == 2


def test_a_store_that_cannot_renew_does_not_keep_a_report_back():
    """The lease is looked at first; what cannot be known is no reason to wait."""

    class Forgetful(MemoryQueue):
        def renew(self, ids, until):
            raise OSError(errno.EIO, "no")

    house = House(store=Forgetful)
    house.agent.answers["far.example"] = (Status.FAILED, NO)
    house.send()
    assert [to for to, _ in house.reports()] == ["alice@client.example"]
    assert house.queued() == []


def test_our_own_verdict_is_not_the_remotes():
    """RFC 3464 sections 2.3.5 and 2.3.6: what we said ourselves has no Remote-MTA."""
    for ours in (False, True):
        house = House()
        usual = house.agent.deliver

        def deliver(message, routes, usual=usual, ours=ours):
            if message.envelope.sender is None:
                return usual(message, routes)
            [route] = routes
            return [Outcome(route.recipient, Status.FAILED, NO, "mx.far.example", ours=ours)]

        house.agent.deliver = deliver
        house.send()
        ((_, report),) = house.reports()
        (fields,) = status_fields(report)
        assert fields.get("Remote-MTA") == (None if ours else "dns; mx.far.example")
        assert fields["Diagnostic-Code"].startswith("x-mailframe; " if ours else "smtp; ")


def test_a_report_about_unicode_mail_to_an_ascii_sender():
    """RFC 6533: it needs SMTPUTF8 only if its reader does; whose host may not have it."""
    for sender, needs in (("alice@client.example", False), ("jürgen@client.example", True)):
        house = House()
        house.agent.answers["far.example"] = (Status.FAILED, NO, "mx.far.example")
        body = "Subject: Grüße\r\n\r\nhi\r\n".encode()
        house.send(sender=sender, smtputf8=True, body=body)
        [message] = [each for each, _ in house.agent.calls if each.envelope.sender is None]
        assert message.envelope.smtputf8 is needs
        kinds = {part.get_content_type() for _, report in house.reports() for part in report.walk()}
        assert ("message/global-delivery-status" in kinds) is needs

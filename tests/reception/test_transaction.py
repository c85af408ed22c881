"""Content: streamed, scanned, judged, committed or forgotten."""

import errno

import pytest
from reception_kit import Place, Speaks
from twisted.internet.defer import Deferred

from mailframe.message import Finding
from mailframe.settings import Limits
from mailframe.smtp.reply import Reply

REFUSED = Reply(550, "Not this", "5.7.1")


def test_content_streams_into_the_draft():
    """What has come is written before the end is seen."""
    place = Place()
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA")
    talk.send(b"Subject: x\r\n\r\n" + b"y" * 50_000)
    assert len(place.store.drafts[0].octets) > 49_000
    talk.send(b"\r\n.\r\n")
    assert place.stored[0].endswith(b"y" * 50_000 + b"\r\n")


@pytest.mark.parametrize("step", [1, 7, 64])
def test_any_cut_gives_the_same_message(step):
    """Octet by octet, in sevens, and larger."""
    place = Place()
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA")
    octets = b"Subject: x\r\n\r\n..dot\r\n.\r\n"
    for at in range(0, len(octets), step):
        talk.send(octets[at : at + step])
    assert talk.heard()[0].startswith("250")
    assert place.stored[0].endswith(b"\r\nSubject: x\r\n\r\n.dot\r\n")


def test_a_slow_store_pauses_the_client():
    """Octets that the store has not taken do not pile up."""
    place = Place()
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA")
    place.store.slow.add("write")
    talk.send(b"Subject: x\r\n\r\n")
    talk.send(b"y" * 70_000)
    talk.send(b"\r\n.\r\n")
    assert not talk.wire.reading
    assert talk.heard() == []
    while place.store.waiting:
        place.store.go_on()
    assert talk.heard()[0].startswith("250")
    assert talk.wire.reading
    assert place.stored[0].endswith(b"y" * 70_000 + b"\r\n")


def test_no_250_before_the_commit():
    """The next command waits, too."""
    place = Place()
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA")
    place.store.slow.add("commit")
    assert talk.say("x", ".", "NOOP") == []
    place.store.go_on()
    assert [line[:3] for line in talk.heard()] == ["250", "250"]


def test_the_scheduler_is_handed_the_message_claimed_or_not():
    """By whether it has room."""
    for room in (True, False):
        place = Place(may_claim=lambda room=room: room)
        talk = place.greeted()
        talk.mail("bob")
        talk.message()
        entry, claimed = place.handed[0]
        assert (claimed, entry.leased) == (room, room)


def test_a_scheduler_that_fails_does_not_make_the_client_send_again():
    """The message is durable: 250."""
    place = Place()
    place.handed = None  # its append fails
    talk = place.greeted()
    talk.mail("bob")
    assert talk.message().startswith("250")
    assert len(place.stored) == 1


def test_a_refused_content_is_forgotten():
    """The filter's words, and nothing remains."""
    place = Place(filters=[Speaks(content=lambda envelope, content: REFUSED)])
    talk = place.greeted()
    talk.mail("bob")
    assert talk.message() == "550 5.7.1 Not this"
    assert place.stored == []
    assert place.store.drafts[0].aborted
    assert talk.mail("bob") == ["250", "250"]


def test_a_slow_content_filter_holds_the_next_command():
    """Replies keep their order."""
    slow = Deferred()
    place = Place(filters=[Speaks(content=lambda envelope, content: slow)])
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA")
    assert talk.say("x", ".", "MAIL FROM:<>", "RCPT TO:<bob@example.org>") == []
    slow.callback(None)
    assert [line[:3] for line in talk.heard()] == ["250", "250", "250"]


def test_a_failing_content_filter_is_a_451():
    """And nothing is accepted."""

    def fail(envelope, content):
        raise RuntimeError("secret cause")

    place = Place(filters=[Speaks(content=fail)])
    talk = place.greeted()
    talk.mail("bob")
    reply = talk.message()
    assert reply.startswith("451 4.3.0")
    assert "secret" not in reply
    assert place.store.drafts[0].aborted


def test_a_filter_that_takes_too_long_is_a_451_in_its_place():
    """The hook's timeout; the pipelined command is answered after it."""
    place = Place(filters=[Speaks(sender=lambda envelope: Deferred())])
    talk = place.greeted()
    assert talk.say("MAIL FROM:<>", "NOOP") == []
    place.clock.advance(31)
    assert [line[:9] for line in talk.heard()] == ["451 4.3.0", "250 2.0.0"]


def test_a_client_that_leaves_in_data_leaves_nothing():
    """The draft is aborted."""
    place = Place()
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA")
    talk.send(b"Subject: x\r\n\r\nhalf")
    talk.disconnect()
    assert place.store.drafts[0].aborted
    assert place.stored == []


def test_a_client_that_leaves_while_a_filter_thinks_leaves_nothing():
    """Nobody heard a 250: nothing is committed."""
    slow = Deferred()
    place = Place(filters=[Speaks(content=lambda envelope, content: slow)])
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA")
    talk.say("x", ".")
    talk.disconnect()
    assert not place.store.drafts[0].aborted
    slow.callback(None)
    assert place.store.drafts[0].aborted
    assert place.stored == []


def test_a_client_that_leaves_while_the_store_writes_leaves_nothing():
    """The draft is aborted once the store is done with the octets."""
    place = Place()
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA")
    place.store.slow.add("write")
    talk.send(b"Subject: x\r\n")
    talk.disconnect()
    assert not place.store.drafts[0].aborted
    place.store.go_on()
    assert place.store.drafts[0].aborted


def test_a_client_that_leaves_during_the_commit_may_have_sent_the_message():
    """What is durable is delivered."""
    place = Place()
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA")
    place.store.slow.add("commit")
    talk.say("x", ".")
    talk.disconnect()
    place.store.go_on()
    assert len(place.handed) == 1
    assert place.reception.sessions == 0


def test_a_store_that_fails_while_waiting_is_4xx():
    """The same as at once."""
    place = Place()
    talk = place.greeted()
    place.store.slow.update(("write", "commit"))
    place.store.wrong["commit"] = OSError(errno.EDQUOT, "Disk quota exceeded")
    talk.mail("bob")
    talk.say("DATA")
    talk.say("x", ".")
    while place.store.waiting:
        place.store.go_on()
    assert talk.heard() == ["452 4.3.1 Insufficient system storage, try again later"]
    assert place.store.drafts[0].aborted


def test_a_draft_that_cannot_be_aborted_is_no_trouble_for_the_client():
    """It is logged."""
    place = Place(filters=[Speaks(content=lambda envelope, content: REFUSED)])
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA")
    place.store.drafts[0].abort = None  # not callable
    assert talk.codes("x", ".") == ["550"]
    assert talk.codes("NOOP") == ["250"]


def test_loops_are_found_by_received_fields():
    """RFC 5321 section 6.3: 554 5.4.6, and the draft is gone before the end."""
    place = Place(limits=Limits(hops=3))
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA")
    talk.send(b"Received: x\r\n" * 4)
    assert place.store.drafts[0].aborted
    assert talk.codes("", "x", ".") == ["554"]
    talk.mail("bob")
    assert talk.message("Received: x", "Received: x", "Received: x", "", "x").startswith("250")


def test_a_big_header_section_is_refused():
    """552 5.3.4, by size and by lines; what follows is consumed."""
    for limits in (Limits(header_size=1000), Limits(header_lines=10)):
        place = Place(limits=limits)
        talk = place.greeted()
        talk.mail("bob")
        assert talk.message(*["X-Header: y" * 10] * 20, "", "x").startswith("552 5.3.4")
        assert talk.codes("NOOP") == ["250"]


def test_a_big_message_is_refused():
    """552 5.3.4 by SIZE at MAIL, and by octets."""
    place = Place(limits=Limits(message_size=1000))
    talk = place.greeted()
    assert talk.codes("MAIL FROM:<a@client.example> SIZE=1001") == ["552"]
    talk.mail("bob")
    assert talk.message("x", "", *["y" * 100] * 20).startswith("552 5.3.4")
    assert place.store.drafts[0].aborted


def test_message_id_and_date_are_added_at_submission():
    """Where absent (RFC 6409 section 8); never on an MX."""
    place = Place(submission=True)
    talk = place.greeted()
    talk.mail("bob")
    talk.message()
    assert b"\r\nMessage-ID: <" in place.stored[0]
    assert b"\r\nDate: Sat, 22 Nov 2025" in place.stored[0]
    talk.mail("bob")
    talk.message("Date: mine", "Message-Id: <mine@client.example>", "", "x")
    assert place.stored[1].lower().count(b"\r\ndate:") == 1
    assert place.stored[1].lower().count(b"\r\nmessage-id:") == 1
    mx = Place()
    talk = mx.greeted()
    talk.mail("bob")
    talk.message()
    assert b"Message-ID" not in mx.stored[0]


def test_a_filters_field_that_is_none_is_left_out():
    """Hooks refuse such findings as faults; what comes through all the same does no harm."""
    place = Place(filters=[Speaks(sender=lambda envelope: Finding({}, ("X-Fine: yes",)))])
    talk = place.greeted()
    talk.mail("bob")
    talk.protocol.session.transaction._fields.append("no field")
    talk.message()
    assert b"X-Fine: yes\r\nSubject: " in place.stored[0]


def test_bdat_chunks_make_one_message():
    """RFC 3030: each chunk is answered."""
    place = Place()
    talk = place.greeted()
    talk.mail("bob")
    talk.send(b"BDAT 14\r\nSubject: x\r\n\r\nBDAT 3 LAST\r\ny\r\n")
    assert [line[:3] for line in talk.heard()] == ["250", "250"]
    assert place.stored[0].endswith(b"\r\nSubject: x\r\n\r\ny\r\n")


def test_a_bdat_chunk_that_fails_ends_the_transaction():
    """Its octets are consumed; the next chunks are refused."""
    place = Place()
    talk = place.greeted()
    talk.mail("bob")
    place.store.wrong["write"] = OSError(errno.ENOSPC, "full")
    talk.send(b"BDAT 4\r\nx: y")
    assert talk.codes() == ["452"]
    assert place.store.drafts[0].aborted
    talk.send(b"BDAT 6 LAST\r\nRSET\r\n")
    assert talk.codes() == ["503"]
    del place.store.wrong["write"]
    assert talk.mail("bob") == ["250", "250"]
    talk.send(b"BDAT 6 LAST\r\na: b\r\n")
    assert talk.codes() == ["250"]


def test_a_bdat_that_the_store_cannot_begin():
    """452 at the chunk's end."""
    place = Place()
    talk = place.greeted()
    talk.mail("bob")
    place.store.wrong["begin"] = OSError(errno.ENOSPC, "full")
    talk.send(b"BDAT 4 LAST\r\nx: y")
    assert talk.codes() == ["452"]


def test_lmtp_answers_for_each_recipient():
    """RFC 2033 section 4.2: as many replies as accepted RCPTs, in order."""
    place = Place(protocol="lmtp")
    talk = place.greeted(hello="LHLO client.example")
    assert talk.mail("bob", "eve", "bob") == ["250"] * 4
    talk.say("DATA")
    assert talk.codes("x", ".") == ["250"] * 3
    assert b"with LMTP\r\n" in place.stored[0]
    place.store.wrong["commit"] = OSError(errno.EIO, "broken")
    talk.mail("bob", "eve")
    talk.say("DATA")
    assert talk.codes("x", ".") == ["451"] * 2
    del place.store.wrong["commit"]
    talk.mail("bob", "eve")
    talk.send(b"BDAT 2\r\nx:BDAT 2 LAST\r\n\r\n")
    assert talk.codes() == ["250"] * 3


def test_lmtp_content_that_offends_is_refused_for_each():
    """Bare line feeds."""
    place = Place(protocol="lmtp")
    talk = place.greeted(hello="LHLO client.example")
    talk.mail("bob", "eve")
    talk.say("DATA")
    talk.send(b"x\ny\r\n.\r\n")
    assert talk.codes() == ["554"] * 2

"""Clients that send all they have, close their sending side, and wait for the replies."""

import pytest
from reception_kit import Place, Speaks
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol

from mailframe.settings import TlsSettings
from mailframe.testing.certificates import make_authority
from mailframe.wire.certificates import Certificates

HELLO = b"HELO client.example\r\n"
MAIL = b"MAIL FROM:<a@client.example>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n"
CONTENT = b"Subject: t\r\n\r\nx\r\n.\r\n"
QUIT = b"QUIT\r\n"
CODES = ["220", "250", "250", "250", "354", "250"]


def begun(place, octets):
    """A client that has sent `octets`; all codes are still to be heard."""
    talk = place.connect()
    talk.seen = 0
    talk.send(octets)
    return talk


@pytest.mark.parametrize("last", [QUIT, b"", b"QUI"])
def test_all_is_answered(last):
    """One message, all its replies; an unfinished line is none (RFC 5321 section 2.3.8)."""
    place = Place()
    talk = begun(place, HELLO + MAIL + CONTENT + last)
    assert IHalfCloseableProtocol.providedBy(talk.protocol)
    assert talk.half_close() == CODES + ["221"] * (last == QUIT)
    assert talk.closed and len(place.handed) == 1
    assert place.reception.sessions == 0


@pytest.mark.parametrize("stage", ["connected", "sender", "content"])
def test_a_filter_that_thinks_is_waited_for(stage):
    """Also if the client is done before it is greeted."""
    slow = Deferred()
    place = Place(filters=[Speaks(**{stage: lambda *what: slow})])
    talk = begun(place, HELLO + MAIL + CONTENT + QUIT)
    said = talk.half_close()
    assert said == CODES[: {"connected": 0, "sender": 2, "content": 5}[stage]]
    assert not talk.closed
    slow.callback(None)
    assert said + talk.codes() == [*CODES, "221"]
    assert talk.closed and len(place.handed) == 1


def test_the_commit_is_waited_for():
    """The message is accepted once, and its client hears so."""
    place = Place()
    place.store.slow.add("commit")
    talk = begun(place, HELLO + MAIL + CONTENT)
    assert talk.half_close() == CODES[:-1]
    place.store.go_on()
    assert talk.codes() == ["250"]
    assert talk.closed and len(place.handed) == 1


@pytest.mark.parametrize("sent", [b"", b"Subject: half", b"Subject: t\r\n\r\nx\r\n.\r"])
def test_half_a_message_is_none(sent):
    """Without the end of data there is nothing to accept."""
    place = Place()
    talk = begun(place, HELLO + MAIL + sent)
    assert talk.half_close() == CODES[:-1]
    assert talk.closed and place.store.drafts[0].aborted and not place.handed


def test_a_client_that_reads_slowly_gets_the_rest_later():
    """What was sent waits until there is room for the replies."""
    place = Place()
    talk = place.connect()
    talk.seen = 0
    talk.protocol.pauseProducing()
    talk.send(HELLO + QUIT)
    assert talk.half_close() == ["220"]
    assert not talk.closed
    talk.protocol.resumeProducing()
    assert talk.codes() == ["250", "221"]
    assert talk.closed


def test_who_sends_nothing_more_is_not_waited_for():
    """Before the greeting, between two commands, in a handshake: the session ends."""
    for place in (Place(greet_delay=6), Place()):
        talk = place.connect()
        talk.half_close()
        assert talk.closed and place.reception.sessions == 0


def test_a_handshake_cannot_go_on(tmp_path):
    """STARTTLS and nothing behind it."""
    make_authority().issue("mx.example.org").write_live(tmp_path)
    certificates = Certificates(TlsSettings(tmp_path), "mx.example.org")
    talk = Place(certificates=certificates).greeted()
    assert talk.codes("STARTTLS") == ["220"]
    talk.half_close()
    assert talk.wire.aborted
    slow = Deferred()
    place = Place(certificates=certificates, filters=[Speaks(hello=lambda client: slow)])
    talk = begun(place, b"HELO x\r\nSTARTTLS\r\n")
    assert talk.half_close() == ["220"]
    slow.callback(None)
    assert talk.codes() == ["250", "220"] and talk.closed


def test_a_session_that_was_held_is_not_read_again():
    """The end is told once."""
    slow = Deferred()
    place = Place(filters=[Speaks(sender=lambda envelope: slow)])
    talk = place.greeted()
    talk.send(b"MAIL FROM:<>\r\n" + b"NOOP\r\n" * 20_000)
    assert not talk.wire.reading
    talk.protocol.readConnectionLost()
    slow.callback(None)
    talk.codes()
    assert not talk.wire.reading and talk.closed

"""What a server must not do: each of these was somebody's flaw."""

import errno

from reception_kit import Open, Passwords, Place, Speaks
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent

from mailframe.settings import TlsSettings
from mailframe.testing.certificates import make_authority
from mailframe.wire.certificates import Certificates


def certificates(tmp_path):
    make_authority().issue("mx.example.org").write_live(tmp_path)
    return Certificates(TlsSettings(tmp_path), "mx.example.org")


def test_rcpt_is_not_answered_before_a_slow_mail():
    """Pipelined commands are judged one after the other, whatever a hook takes."""
    slow = Deferred()
    asked = []
    place = Place(
        filters=[
            Speaks(
                sender=lambda envelope: slow,
                recipient=lambda envelope, recipient: asked.append(recipient),
            )
        ]
    )
    talk = place.greeted()
    assert talk.mail("bob", "eve") == []
    assert asked == []
    slow.callback(None)
    assert talk.heard() == ["250 2.1.0 OK", "250 2.1.5 OK", "250 2.1.5 OK"]
    assert len(asked) == 2


def test_replies_keep_their_order_when_a_later_hook_is_ready_first():
    """The second RCPT's policy has answered long before the first one's."""
    slow = Deferred()
    place = Place(relay=Open({"slow": slow}))
    talk = place.greeted()
    assert talk.mail("slow", "quick") == ["250"]
    slow.callback(None)
    assert talk.heard() == ["550 5.7.1 Relaying denied", "250 2.1.5 OK"]


def test_what_follows_starttls_in_the_clear_is_forgotten(tmp_path):
    """RFC 3207 section 4.2; CVE-2011-0411."""
    place = Place(certificates=certificates(tmp_path))
    talk = place.greeted()
    talk.send(b"STARTTLS\r\nEHLO evil\r\nMAIL FROM:<evil@client.example>\r\n")
    assert talk.heard() == ["220 2.0.0 Ready to start TLS"]
    assert talk.start_tls() == []
    assert talk.codes("RCPT TO:<bob@example.org>") == ["503"]
    assert talk.codes("MAIL FROM:<a@client.example>") == ["503"]
    assert talk.codes("NOOP") == ["250"]


def test_a_transaction_does_not_survive_starttls(tmp_path):
    """Nor does the name of HELO."""
    place = Place(certificates=certificates(tmp_path))
    talk = place.greeted()
    talk.mail("bob")
    talk.say("RSET", "MAIL FROM:<evil@client.example>")
    talk.say("RSET", "STARTTLS")
    talk.start_tls()
    assert talk.protocol.session.client.hello == ""
    assert talk.codes("DATA") == ["503"]


def test_auth_is_not_taken_before_ehlo_in_the_clear_or_in_a_transaction(tmp_path):
    """RFC 4954 section 4; a password in the clear is never asked for."""
    place = Place(auth=[Passwords(alice="secret")], certificates=certificates(tmp_path))
    talk = place.connect()
    assert talk.codes("AUTH PLAIN AGFsaWNlAHNlY3JldA==") == ["503"]
    talk.say("EHLO client.example")
    assert talk.codes("AUTH PLAIN AGFsaWNlAHNlY3JldA==") == ["538"]
    assert talk.protocol.session.client.user is None
    talk.say("STARTTLS")
    talk.start_tls()
    talk.say("EHLO client.example")
    talk.mail("bob")
    assert talk.codes("AUTH PLAIN AGFsaWNlAHNlY3JldA==") == ["503"]


def test_noop_is_250():
    """At any time (RFC 5321 section 4.1.1.9)."""
    assert Place().connect().codes("NOOP") == ["250"]


def test_an_over_long_line_of_data_stays_data():
    """A line of the content never becomes a command."""
    place = Place()
    talk = place.greeted()
    talk.mail("bob")
    talk.say("DATA")
    talk.send(b"x" * 200_000 + b"\r\nRSET\r\nQUIT\r\n")
    assert talk.heard() == []
    assert talk.codes(".") == ["250"]
    assert not talk.closed
    assert talk.codes("NOOP") == ["250"]


def test_a_failed_store_is_4xx():
    """A full disk is 452 4.3.1, any other fault 451 4.3.0 with a reference."""
    for verb in ("begin", "write", "commit"):
        place = Place()
        talk = place.greeted()
        place.store.wrong[verb] = OSError(errno.ENOSPC, "No space left on device")
        assert begin_and_end(talk) == "452 4.3.1 Insufficient system storage, try again later"
        place.store.wrong[verb] = OSError(errno.EIO, "Input/output error")
        reply = begin_and_end(talk)
        assert reply.startswith("451 4.3.0 Local error, try again later (ref ")
        assert "output" not in reply
        del place.store.wrong[verb]
        assert begin_and_end(talk).startswith("250 2.0.0 OK, queued as ")
        assert len(place.handed) == len(place.stored) == 1


def test_a_failed_store_does_not_fill_the_log():
    """One line a minute of a full disk, one traceback of a fault, every reference shown."""
    place = Place()
    talk = place.greeted()
    with capturedLogs() as logged:
        place.store.wrong["commit"] = OSError(errno.ENOSPC, "No space left on device")
        for _ in range(5):
            begin_and_end(talk)
        place.store.wrong["commit"] = OSError(errno.EIO, "Input/output error")
        shown = [begin_and_end(talk).partition("ref ")[2].rstrip(")") for _ in range(5)]
    lines = [formatEvent(event) for event in logged]
    assert sum(line.endswith(": the store is full") for line in lines) == 1
    assert all(sum(reference in line for line in lines) == 1 for reference in shown)
    assert sum("log_failure" in event for event in logged) == 1
    assert sum("Input/output error" in line for line in lines) == 4


def begin_and_end(talk):
    """One message; the first refusal or the last reply."""
    assert talk.mail("bob") == ["250", "250"]
    reply = talk.say("DATA")[-1]
    if not reply.startswith("354"):
        talk.say("RSET")
        return reply
    return talk.say("Subject: x", "", "x", ".")[-1]


def test_a_client_that_reads_no_replies_is_stopped_then_dropped():
    """Replies wait up to a bound; then nothing more is answered, and the client is dropped."""
    place = Place()
    talk = place.connect()
    talk.wire.bufferSize = 4000
    talk.wire.held = 0
    for _ in range(2000):
        talk.send(b"EHLO client.example\r\n" * 20)
    assert talk.wire.held < 4000 + 20 * 400
    assert not talk.wire.reading
    place.clock.pump([1.0] * 70)
    assert talk.wire.aborted


def test_end_of_data_has_one_spelling():
    """CVE-2023-51764 and others: no other spelling ends a message, none is passed on."""
    for end in (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\0\r\n.\n"):
        place = Place()
        talk = place.greeted()
        talk.mail("bob")
        talk.say("DATA")
        talk.send(b"Subject: x\r\n\r\nx" + end + b"MAIL FROM:<evil@client.example>\r\n")
        assert talk.heard() == []
        talk.send(b"\r\n.\r\n")
        assert [line[:3] for line in talk.heard()] == ["554"], end
        assert place.stored == []
        assert place.store.drafts[0].aborted

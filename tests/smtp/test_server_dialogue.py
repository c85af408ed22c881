"""What conversations cannot show of the server dialogue: what it tells its session."""

from __future__ import annotations

import pytest

from mailframe.smtp.address import Mailbox
from mailframe.smtp.command import Auth, Bdat, Data, Ehlo, Helo, Mail, Noop, Quit, Rcpt, Xclient
from mailframe.smtp.event import AuthLine, ContentEnd, ContentOctets, Event, Rejected
from mailframe.smtp.offer import Offer
from mailframe.smtp.order import State
from mailframe.smtp.reply import (
    AUTHENTICATED,
    BAD_LINE_ENDS,
    BARE_LF,
    BYE,
    GO_AHEAD,
    MESSAGE_TOO_BIG,
    OK,
    OUT_OF_STEP,
    READY_FOR_TLS,
    RECIPIENT_OK,
    SENDER_OK,
    SHUTTING_DOWN,
    UNKNOWN_COMMAND,
    Reply,
)
from mailframe.smtp.server import ServerDialogue

SECRET = Offer(auth=("PLAIN", "LOGIN"), starttls=True)


def tell(dialogue: ServerDialogue, octets: bytes, *replies: Reply) -> list[Event]:
    """The events of these octets, each answered by the next reply; those after are not asked."""
    dialogue.receive_data(octets)
    events: list[Event] = []
    for reply in replies:
        while isinstance(event := dialogue.next_event(), ContentOctets | Bdat):
            events.append(event)
        assert event is not None
        events.append(event)
        dialogue.send(reply)
    return events


def begun(offer: Offer = SECRET, *, lmtp: bool = False, recipients: int = 1) -> ServerDialogue:
    """A dialogue with so many recipients accepted."""
    dialogue = ServerDialogue("mx.example", offer, lmtp=lmtp)
    hello = b"LHLO c.example\r\n" if lmtp else b"EHLO c.example\r\n"
    tell(dialogue, hello + b"MAIL FROM:<>\r\n", OK, SENDER_OK)
    tell(dialogue, b"RCPT TO:<b@example.org>\r\n" * recipients, *[RECIPIENT_OK] * recipients)
    return dialogue


def test_no_event_before_the_answer() -> None:
    """Pipelined commands wait until the one before them is answered."""
    dialogue = ServerDialogue("mx.example")
    dialogue.receive_data(b"EHLO c.example\r\nNOOP\r\n")
    assert dialogue.next_event() == Ehlo("c.example")
    assert dialogue.owes_answer
    assert dialogue.next_event() is None
    assert dialogue.buffered == 6
    assert dialogue.send(OK) == b"250 2.0.0 OK\r\n"
    assert dialogue.next_event() == Noop()
    assert dialogue.buffered == 0


def test_greeting_and_help() -> None:
    """The greeting names the host and the protocol; HELP names the commands."""
    assert str(ServerDialogue("mx.example").greeting()) == "220 mx.example ESMTP ready"
    assert str(ServerDialogue("mx.example", lmtp=True).greeting()) == "220 mx.example LMTP ready"
    assert "EHLO" in ServerDialogue("mx.example").help_reply().text
    assert "LHLO" in ServerDialogue("mx.example", lmtp=True).help_reply().text
    assert ServerDialogue("mx.example").hello_reply(Helo("c")).text == "mx.example"


def test_the_states_seen_from_outside() -> None:
    """in_content and transaction_open follow the transaction."""
    dialogue = ServerDialogue("mx.example")
    assert not dialogue.transaction_open
    tell(dialogue, b"EHLO c.example\r\nMAIL FROM:<>\r\n", OK, SENDER_OK)
    assert dialogue.transaction_open
    tell(dialogue, b"RCPT TO:<b@example.org>\r\nDATA\r\n", RECIPIENT_OK, GO_AHEAD)
    assert dialogue.in_content
    dialogue.receive_data(b"a\r\n.\r\n")
    assert dialogue.next_event() == ContentOctets(b"a\r\n")
    assert dialogue.next_event() == ContentEnd()
    assert dialogue.in_content
    dialogue.send(OK)
    assert not dialogue.in_content
    assert not dialogue.transaction_open


def test_a_chunk_is_told_as_it_comes() -> None:
    """Bdat and ContentOctets want no answer; the chunk's end does."""
    dialogue = begun()
    dialogue.receive_data(b"BDAT 4\r\nab")
    assert dialogue.next_event() == Bdat(4)
    assert dialogue.in_content
    assert not dialogue.owes_answer
    assert dialogue.next_event() == ContentOctets(b"ab")
    assert dialogue.next_event() is None
    dialogue.receive_data(b"cd")
    assert dialogue.next_event() == ContentOctets(b"cd")
    assert dialogue.next_event() == ContentEnd(last=False)
    dialogue.send(OK)
    assert dialogue.state is State.BETWEEN_CHUNKS


def test_a_refused_chunk_counts_as_content_until_it_is_taken() -> None:
    """The session sees that octets of a chunk are still to come."""
    dialogue = ServerDialogue("mx.example")
    dialogue.receive_data(b"BDAT 4\r\nab")
    assert dialogue.next_event() is None
    assert dialogue.in_content
    dialogue.receive_data(b"cd")
    assert isinstance(dialogue.next_event(), Rejected)
    assert not dialogue.in_content


def test_the_refused_line_is_shown() -> None:
    """Rejected shows up to 512 octets of the line, for the log."""
    dialogue = ServerDialogue("mx.example")
    rejected, overlong = tell(
        dialogue, b"FOO bar\r\n" + b"x" * 4000 + b"\r\n", Reply(500, "No"), Reply(500, "No")
    )
    assert isinstance(rejected, Rejected)
    assert rejected.line == b"FOO bar"
    assert isinstance(overlong, Rejected)
    assert overlong.line == b"x" * 512


def test_an_overlong_line_is_refused_before_its_end() -> None:
    """The refusal comes with the 2048th octet, so that no line end need ever come."""
    dialogue = ServerDialogue("mx.example")
    dialogue.receive_data(b"x" * 2047)
    assert dialogue.next_event() is None
    dialogue.receive_data(b"x")
    assert isinstance(dialogue.next_event(), Rejected)
    assert dialogue.buffered == 0


def test_nothing_is_read_after_the_last_rejected() -> None:
    """Whether the session says the 421 or not; it may be said to no other."""
    for replies in ((BARE_LF,), (BARE_LF, OUT_OF_STEP), (OUT_OF_STEP,)):
        dialogue = ServerDialogue("mx.example")
        dialogue.receive_data(b"NOOP\nNOOP\r\nNOOP\r\n")
        assert dialogue.next_event() == Rejected(BARE_LF, b"NOOP", last=True)
        assert dialogue.send(*replies) == b"".join(reply.to_bytes() for reply in replies)
        dialogue.receive_data(b"NOOP\r\n")
        assert dialogue.next_event() is None
        assert dialogue.buffered == 0
    dialogue = ServerDialogue("mx.example")
    dialogue.receive_data(b"FOO\r\n")
    assert dialogue.next_event() == Rejected(UNKNOWN_COMMAND, b"FOO")
    with pytest.raises(ValueError, match="2 replies where 1 are due"):
        dialogue.send(UNKNOWN_COMMAND, OUT_OF_STEP)
    with pytest.raises(ValueError, match="a positive answer to what was refused"):
        dialogue.send(OK)


def test_no_secret_before_a_bare_lf_is_shown() -> None:
    """Neither in AUTH nor in the lines after it."""
    for octets in (b"AUTH PLAIN AGEAYg==\n", b"AUTH PLAIN AGEAYg==\nNOOP\r\n"):
        dialogue = ServerDialogue("mx.example", SECRET)
        dialogue.receive_data(octets)
        assert dialogue.next_event() == Rejected(BARE_LF, last=True)
    dialogue = ServerDialogue("mx.example", SECRET)
    tell(dialogue, b"EHLO c\r\nAUTH LOGIN\r\n", OK, Reply(334, ""))
    dialogue.receive_data(b"c2VjcmV0\n")
    assert dialogue.next_event() == Rejected(BARE_LF, last=True)


def test_too_big_content_is_told_up_to_the_limit() -> None:
    """Content stops at the limit to the octet, whatever the cut (RFC 1870 section 6.3)."""
    dialogue = begun(Offer(size=4))
    tell(dialogue, b"DATA\r\n", GO_AHEAD)
    dialogue.receive_data(b"abcdef\r\n.\r\n")
    assert dialogue.next_event() == ContentOctets(b"abcd")
    assert dialogue.next_event() == ContentEnd(refusal=MESSAGE_TOO_BIG)


def test_no_secret_is_shown() -> None:
    """Neither a refused AUTH line nor what a hasty client sends after it is shown."""
    no = Reply(503, "No")
    dialogue = ServerDialogue("mx.example", SECRET)
    octets = b"auth plain AGEAYg==\r\nc2VjcmV0\r\n" + b"A" * 13000 + b"\r\nNOOP\r\nFOO\r\n"
    events = tell(dialogue, octets, no, no, no, OK, no)
    assert [getattr(event, "line", None) for event in events] == [b"", b"", b"", None, b"FOO"]
    tell(dialogue, b"EHLO c.example\r\n", OK)
    for octets in (b"AUTH PLAIN " + b"A" * 13000 + b"\r\n", b"AUTHPLAIN AGEAYg==\r\n"):
        (event,) = tell(dialogue, octets, no)
        assert isinstance(event, Rejected)
        assert event.line == b""
    events = tell(
        dialogue, b"AUTH LOGIN\r\nYQ==\r\nc2VjcmV0\r\n", Reply(334, ""), Reply(535, "No"), no
    )
    assert events[:2] == [Auth("LOGIN"), AuthLine(b"a")]
    assert getattr(events[2], "line") == b""  # noqa: B009


def test_authentication() -> None:
    """235 authenticates, a refusal does not, and TLS forgets it."""
    dialogue = ServerDialogue("mx.example", SECRET)
    tell(dialogue, b"EHLO c\r\nAUTH PLAIN =\r\n", OK, Reply(535, "No", "5.7.8"))
    assert not dialogue.authenticated
    tell(dialogue, b"AUTH LOGIN\r\nYQ==\r\n", Reply(334, ""), AUTHENTICATED)
    assert dialogue.authenticated
    tell(dialogue, b"STARTTLS\r\nNOOP\r\n", READY_FOR_TLS)
    assert (dialogue.state, dialogue.buffered) == (State.SECURING, 0)
    dialogue.receive_data(b"NOOP\r\n")
    assert (dialogue.next_event(), dialogue.buffered) == (None, 0)
    dialogue.tls_started()
    assert not dialogue.authenticated
    assert dialogue.state is State.START


def test_only_the_state_says_that_tls_begins() -> None:
    """220 answers XCLIENT, too: it begins another session, in which nobody has logged in."""
    dialogue = ServerDialogue("mx.example", Offer(auth=("PLAIN",), starttls=True, xclient=True))
    tell(dialogue, b"EHLO c\r\nAUTH PLAIN =\r\n", OK, AUTHENTICATED)
    octets = b"XCLIENT LOGIN=[UNAVAILABLE] ADDR=192.0.2.7\r\n"
    (event,) = tell(dialogue, octets, dialogue.greeting())
    assert event == Xclient({"LOGIN": None, "ADDR": "192.0.2.7"})
    assert (dialogue.state, dialogue.authenticated) == (State.START, False)
    tell(dialogue, b"EHLO c\r\nSTARTTLS\r\n", OK, READY_FOR_TLS)
    assert dialogue.state is State.SECURING


def test_a_refused_xclient_changes_nothing() -> None:
    """But a 421, which ends the session."""
    dialogue = ServerDialogue("mx.example", Offer(auth=("PLAIN",), xclient=True))
    tell(dialogue, b"EHLO c\r\nAUTH PLAIN =\r\n", OK, AUTHENTICATED)
    tell(dialogue, b"XCLIENT ADDR=192.0.2.7\r\n", Reply(451, "Later", "4.3.0"))
    assert (dialogue.state, dialogue.authenticated) == (State.READY, True)
    tell(dialogue, b"XCLIENT ADDR=192.0.2.7\r\n", SHUTTING_DOWN)
    assert dialogue.state is State.CLOSED


def test_421_at_any_time() -> None:
    """A 421 may be said without being asked; after it, as after 221, nothing is read."""
    for reply in (SHUTTING_DOWN, BYE):
        dialogue = begun()
        dialogue.receive_data(b"NOOP\r\n")
        assert dialogue.send(reply) == reply.to_bytes()
        assert dialogue.state is State.CLOSED
        dialogue.receive_data(b"NOOP\r\n")
        assert (dialogue.next_event(), dialogue.buffered) == (None, 0)


def test_answers_that_cannot_be() -> None:
    """A session's mistakes raise; they never become a lie to the client."""
    with pytest.raises(ValueError, match="no event waits"):
        ServerDialogue("mx.example").send(OK)
    for octets, reply in (
        (b"DATA\r\n", OK),
        (b"NOOP\r\n", GO_AHEAD),
        (b"NOOP\r\n", Reply(334, "")),
        (b"NONSENSE\r\n", OK),
        (b"BDAT 1 LAST\r\n\n", OK),
    ):
        with pytest.raises(ValueError, match="answer"):
            tell(begun(), octets, reply)
    with pytest.raises(ValueError, match="2 replies where 1"):
        dialogue = begun()
        dialogue.receive_data(b"NOOP\r\n")
        dialogue.next_event()
        dialogue.send(OK, OK)


def test_lmtp_answers() -> None:
    """LMTP: a reply per accepted recipient, one alone is said for each, others are a mistake."""
    for replies, said in (
        ((OK, BYE, OK), None),
        ((OK,), OK.to_bytes() * 2),
        ((OK, Reply(452, "Full", "4.2.2")), OK.to_bytes() + b"452 4.2.2 Full\r\n"),
    ):
        dialogue = begun(lmtp=True, recipients=2)
        tell(dialogue, b"DATA\r\n", GO_AHEAD)
        dialogue.receive_data(b".\r\n")
        assert dialogue.next_event() == ContentEnd()
        if said is None:
            with pytest.raises(ValueError, match="3 replies where 2"):
                dialogue.send(*replies)
        else:
            assert dialogue.send(*replies) == said
            assert dialogue.state is State.READY


def test_lmtp_refused_content_is_never_accepted() -> None:
    """No recipient's reply may be positive for content that earned a refusal."""
    dialogue = begun(lmtp=True, recipients=2)
    tell(dialogue, b"DATA\r\n", GO_AHEAD)
    dialogue.receive_data(b"a\nb\r\n.\r\n")
    assert dialogue.next_event() == ContentOctets(b"a")
    assert dialogue.next_event() == ContentEnd(refusal=BAD_LINE_ENDS)
    with pytest.raises(ValueError, match="positive"):
        dialogue.send(BAD_LINE_ENDS, OK)
    assert dialogue.send(BAD_LINE_ENDS) == BAD_LINE_ENDS.to_bytes() * 2


def test_the_whole_of_a_transaction() -> None:
    """The commands come as values with all that the client said."""
    dialogue = ServerDialogue("mx.example")
    events = tell(
        dialogue,
        b"EHLO c.example\r\nMAIL FROM:<a@c.example> SIZE=3 RET=HDRS\r\n"
        b"RCPT TO:<b@example.org> NOTIFY=NEVER\r\nDATA\r\na\r\n.\r\nQUIT\r\n",
        OK,
        SENDER_OK,
        RECIPIENT_OK,
        GO_AHEAD,
        OK,
        BYE,
    )
    assert events == [
        Ehlo("c.example"),
        Mail(Mailbox("a", "c.example"), 3, ret="HDRS"),
        Rcpt(Mailbox("b", "example.org"), frozenset({"NEVER"})),
        Data(),
        ContentOctets(b"a\r\n"),
        ContentEnd(),
        Quit(),
    ]

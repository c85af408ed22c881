"""The client's dialogue: which reply belongs to what, whatever the server sends."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailframe.smtp.address import Mailbox
from mailframe.smtp.client import (
    MAX_LINE,
    MAX_LINES,
    MAX_TEXT,
    ClientDialogue,
    Garbled,
    Greeting,
    Heard,
    Replied,
    Unasked,
    spell,
)
from mailframe.smtp.command import (
    Auth,
    Bdat,
    Data,
    Ehlo,
    Lhlo,
    Mail,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    Xclient,
)
from mailframe.smtp.event import AuthLine, ContentEnd
from mailframe.smtp.extensions import read_extensions
from mailframe.smtp.grammar import Unwritable
from mailframe.smtp.reply import Reply

A, B = Mailbox("a", "x.example"), Mailbox("b", "x.example")


def hear(dialogue: ClientDialogue, *pieces: bytes) -> list[Heard]:
    """What comes of these octets."""
    heard = []
    for piece in pieces:
        dialogue.receive_data(piece)
        while (event := dialogue.next_event()) is not None:
            heard.append(event)
    return heard


def greeted(*, lmtp: bool = False) -> ClientDialogue:
    """A dialogue after the greeting."""
    dialogue = ClientDialogue(lmtp=lmtp)
    [answer] = hear(dialogue, b"220 mx.x.example ESMTP\r\n")
    assert isinstance(answer, Replied) and answer.to == Greeting()
    return dialogue


def replies(heard: list[Heard]) -> list[int]:
    """The codes of answers; anything else fails."""
    return [event.reply.code for event in heard if isinstance(event, Replied) or 1 / 0]


def test_each_reply_answers_its_command() -> None:
    """RFC 2920: replies keep the order of the commands."""
    dialogue = greeted()
    octets = dialogue.send(Mail(None), Rcpt(A), Rcpt(B), Data())
    assert octets == (b"MAIL FROM:<>\r\nRCPT TO:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n")
    assert dialogue.owed == 4
    heard = hear(dialogue, b"250 2.1.0 ok\r\n250 ok\r\n550 5.1.1 no b\r\n354 go\r\n")
    assert heard == [
        Replied(Mail(None), Reply(250, "ok", "2.1.0")),
        Replied(Rcpt(A), Reply(250, "ok", "2.0.0"), A),
        Replied(Rcpt(B), Reply(550, "no b", "5.1.1"), B),
        Replied(Data(), Reply(354, "go")),
    ]
    assert dialogue.send(ContentEnd()) == b"" and dialogue.owed == 1
    assert hear(dialogue, b"250 2.0.0 queued\r\n") == [
        Replied(ContentEnd(), Reply(250, "queued", "2.0.0"))
    ]


def test_what_was_spelled_before_is_said_the_same() -> None:
    """Octets and answers are those of the command, which may be said again and again."""
    dialogue, data = greeted(), spell(Data())
    assert data == (Data(), b"DATA\r\n")
    for _ in range(2):
        assert dialogue.send(spell(Mail(None)), Rcpt(A), data) == (
            b"MAIL FROM:<>\r\nRCPT TO:<a@x.example>\r\nDATA\r\n"
        )
        assert hear(dialogue, b"250 ok\r\n250 ok\r\n354 go\r\n") == [
            Replied(Mail(None), Reply(250, "ok", "2.0.0")),
            Replied(Rcpt(A), Reply(250, "ok", "2.0.0"), A),
            Replied(Data(), Reply(354, "go")),
        ]
    with pytest.raises(Unwritable):
        spell(Mail(Mailbox("a\r\n", "x.example")))


def test_long_and_short_replies_are_read_alike() -> None:
    """However often they come; one line or the first of several."""
    dialogue = greeted()
    for text in ("ok", "x" * 200, "ok", "x" * 200):
        dialogue.send(Rset(), Rset())
        octets = f"250 2.0.0 {text}\r\n250-2.0.0 {text}\r\n250 2.0.0 end\r\n".encode()
        one, several = (each for each in hear(dialogue, octets) if isinstance(each, Replied))
        assert one.reply == Reply(250, text, "2.0.0")
        assert several.reply == Reply(250, f"{text}\nend", "2.0.0")


def test_lmtp_answers_the_content_once_for_each_accepted_recipient() -> None:
    """RFC 2033 section 4.2."""
    dialogue = greeted(lmtp=True)
    dialogue.send(Mail(None), Rcpt(A), Rcpt(B), Data())
    hear(dialogue, b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    dialogue.send(ContentEnd())
    heard = hear(dialogue, b"250 a\r\n452 4.2.2 b is full\r\n")
    assert [
        (event.reply.code, event.recipient) for event in heard if isinstance(event, Replied)
    ] == [
        (250, A),
        (452, B),
    ]
    dialogue.send(Rset(), Mail(None), Rcpt(B))
    assert replies(hear(dialogue, b"250 ok\r\n250 ok\r\n250 ok\r\n")) == [250, 250, 250]
    assert dialogue.send(Bdat(1, last=True)) == b"BDAT 1 LAST\r\n" and dialogue.owed == 0
    dialogue.send(ContentEnd())
    assert dialogue.owed == 1  # the recipients of before count no more


def test_extensions_are_read_from_ehlo() -> None:
    """RFC 5321 section 4.1.1.1; unknown and odd lines do no harm."""
    dialogue = greeted()
    dialogue.send(Ehlo("us.example"))
    hear(
        dialogue,
        b"250-MX.x.example greets you\r\n250-size 1000\r\n250-AUTH=login\r\n250-AUTH PLAIN\r\n"
        b"250-LIMITS RCPTMAX=20 MAILMAX=x\r\n250-\r\n250-!\r\n250 PIPELINING\r\n",
    )
    offered = dialogue.extensions
    assert offered.domain == "mx.x.example" and offered.size == 1000
    assert offered.mechanisms == ("LOGIN", "PLAIN")
    assert offered.limit("RCPTMAX") == 20 and offered.limit("MAILMAX") == 0
    assert offered.limit("RCPTDOMAINMAX") == 0
    assert "PIPELINING" in offered and "DSN" not in offered


def test_extensions_of_nothing() -> None:
    """No line at all is no extension."""
    assert read_extensions([]).offered == {}
    assert read_extensions(["x", "SIZE many"]).size == 0


def test_nothing_in_the_clear_is_heard_after_starttls() -> None:
    """RFC 3207 section 4.2: responses injected behind the 220 are forgotten, as is EHLO."""
    dialogue = greeted()
    dialogue.send(Ehlo("us.example"))
    hear(dialogue, b"250-x.example\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n")
    dialogue.send(StartTls())
    heard = hear(dialogue, b"220 go\r\n250-evil\r\n250 SIZE 1\r\n250 inject", b"ed\r\n")
    assert replies(heard) == [220]
    dialogue.tls_started()
    assert dialogue.extensions.offered == {}
    dialogue.send(Ehlo("us.example"))
    assert replies(hear(dialogue, b"250 x.example\r\n")) == [250]
    assert not dialogue.extensions.offered


def test_a_refused_starttls_changes_nothing() -> None:
    """The dialogue goes on in the clear."""
    dialogue = greeted()
    dialogue.send(StartTls())
    assert replies(hear(dialogue, b"454 4.7.0 not now\r\n")) == [454]
    dialogue.send(Rset())
    assert replies(hear(dialogue, b"250 ok\r\n")) == [250]


def test_421_answers_everything_that_was_asked() -> None:
    """RFC 5321 section 3.8; nothing is read after it."""
    dialogue = greeted()
    dialogue.send(Mail(None), Rcpt(A), Data())
    assert replies(hear(dialogue, b"250 ok\r\n421 4.3.2 bye\r\n250 ok\r\n")) == [250, 421, 421]
    assert dialogue.over and dialogue.owed == 0


def test_a_reply_to_nothing_is_unasked() -> None:
    """An idle server that closes says 421, and some say other things."""
    dialogue = greeted()
    assert hear(dialogue, b"421 4.4.2 idle\r\n") == [Unasked(Reply(421, "idle", "4.4.2"))]
    assert dialogue.over


def test_auth_is_a_dialogue_in_base64() -> None:
    """RFC 4954 section 4."""
    dialogue = greeted()
    assert dialogue.send(Auth("LOGIN")) == b"AUTH LOGIN\r\n"
    assert replies(hear(dialogue, b"334 VXNlcm5hbWU6\r\n")) == [334]
    assert dialogue.send(AuthLine(b"me")) == b"bWU=\r\n"
    assert replies(hear(dialogue, b"235 2.7.0 in\r\n")) == [235]


def test_221_is_the_last_word() -> None:
    """RFC 5321 section 4.1.1.10."""
    dialogue = greeted()
    dialogue.send(Quit())
    assert replies(hear(dialogue, b"221 bye\r\n250 what\r\n")) == [221]
    assert dialogue.over


@pytest.mark.parametrize(
    "octets",
    [
        b"hello\r\n",
        b"99 x\r\n",
        b"199 x\r\n",
        b"600 x\r\n",
        b"250x\r\n",
        b"\r\n",
        b"250-a\r\n550 b\r\n",
        b"354 what for\r\n",
        b"334 \r\n",
        b"250-x\r\n" * (MAX_LINES + 1),
        b"250 " + b"x" * (MAX_LINE + 1) + b"\r\n",
        b"x" * (MAX_LINE + 1),
    ],
)
def test_garbage_ends_it(octets: bytes) -> None:
    """What is no reply, or no reply to this, or has no end, ends the dialogue."""
    dialogue = greeted()
    dialogue.send(Mail(None))
    [event] = hear(dialogue, octets)
    assert isinstance(event, Garbled) and event.why
    assert dialogue.over
    assert hear(dialogue, b"250 ok\r\n") == []


def test_data_is_not_answered_with_success() -> None:
    """A 250 to DATA is no 354: whatever comes next would be out of step."""
    dialogue = greeted()
    dialogue.send(Data())
    assert isinstance(hear(dialogue, b"250 ok\r\n")[0], Garbled)


def test_texts_are_fit_for_a_log() -> None:
    """No control characters and no end of it; a status of another class is text."""
    dialogue = greeted()
    dialogue.send(Mail(None), Rset())
    long = b"".join(b"250-" + b"y" * 400 + b"\r\n" for _ in range(9)) + b"250 z\r\n"
    first, second = hear(dialogue, b"550 2.1.0 a\x1b[31m\xff\tb\r\n" + long)
    assert isinstance(first, Replied) and isinstance(second, Replied)
    assert first.reply.status == "5.0.0"
    assert first.reply.text == "2.1.0 a?[31m\ufffd?b"
    assert len(second.reply.text) == MAX_TEXT


def test_what_cannot_be_written_changes_nothing() -> None:
    """A command with a line end inside is refused before anything is awaited."""
    dialogue = greeted()
    with pytest.raises(Unwritable):
        dialogue.send(Mail(None), Rcpt(Mailbox("a\r\nRCPT TO:<evil", "x.example")))
    assert dialogue.owed == 0


SCRIPT = (
    b"220 x.example ESMTP\r\n250-x.example\r\n250-LIMITS RCPTMAX=2\r\n250 DSN\r\n250 2.1.0 ok\r\n"
    b"250 ok\n550-5.1.1 no\r\n550 5.1.1 b\r\n354 go\r\n250 queued\r\n421 4.3.2 bye\r\n"
)


@given(st.lists(st.integers(0, len(SCRIPT))))
@settings(deadline=None, max_examples=100)
def test_any_cut_of_the_replies_gives_the_same_answers(cuts: list[int]) -> None:
    """Where the octets are cut says nothing."""

    def heard(places: list[int]) -> list[Heard]:
        dialogue = ClientDialogue(lmtp=False)
        dialogue.send(Lhlo("us"), Mail(None), Rcpt(A), Rcpt(B), Data(), ContentEnd())
        edges = [0, *sorted(places), len(SCRIPT)]
        return hear(dialogue, *(SCRIPT[a:b] for a, b in pairwise(edges)))

    assert heard(cuts) == heard([])
    assert len(heard([])) == 8


@given(st.lists(st.binary(max_size=60) | st.sampled_from([b"250 ok\r\n", b"421 x\r\n", b"250-"])))
@settings(deadline=None, max_examples=200)
def test_garbage_never_raises(pieces: list[bytes]) -> None:
    """Whatever a server sends, it is an event or nothing."""
    dialogue = ClientDialogue()
    dialogue.send(Ehlo("us"), StartTls(), Mail(None), Data())
    for event in hear(dialogue, *pieces):
        assert isinstance(event, Replied | Unasked | Garbled)


def test_xclient_begins_anew() -> None:
    """What the server offered to us is not what it offers to the client that we speak for."""
    dialogue = greeted()
    dialogue.send(Ehlo("us.example"))
    hear(dialogue, b"250-mx.x.example\r\n250-XCLIENT NAME ADDR\r\n250 SIZE 10\r\n")
    assert dialogue.extensions.offered["XCLIENT"] == ("NAME", "ADDR")
    other = Xclient({"ADDR": "2001:db8::7", "NAME": None, "HELO": "a b"})
    said = b"XCLIENT ADDR=IPV6:2001:db8::7 NAME=[UNAVAILABLE] HELO=a+20b\r\n"
    assert dialogue.send(other) == said
    assert replies(hear(dialogue, b"550 5.7.0 no\r\n")) == [550]
    assert "XCLIENT" in dialogue.extensions
    dialogue.send(other)
    assert replies(hear(dialogue, b"220 mx.x.example ESMTP\r\n")) == [220]
    assert not dialogue.extensions.offered and not dialogue.over
    with pytest.raises(Unwritable):
        dialogue.send(Xclient({"NAME": "a\r\nQUIT"}))


def test_a_reply_that_is_too_large() -> None:
    """Its lines may be long or many, not both."""
    dialogue = greeted()
    dialogue.send(Ehlo("us.example"))
    line = b"250-" + b"x" * 4000 + b"\r\n"
    heard = hear(dialogue, *[line] * 20)
    assert heard == [Garbled("a reply without end")] and dialogue.over


def test_large_replies_are_not_remembered() -> None:
    """What 300 hostile servers said of themselves is given back."""
    tracemalloc.start()
    try:
        for number in range(300):
            lines = [f"mx{number}.x.example", *(f"X{row} " + "y" * 600 for row in range(100))]
            assert "X99" in read_extensions(lines)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 2_000_000

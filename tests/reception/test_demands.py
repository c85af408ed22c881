"""What filters want done about a message, and what becomes of it."""

from __future__ import annotations

import pytest
from reception_kit import Place, Speaks, Watching

from mailframe.message import AuthResult, Finding, Without
from mailframe.smtp.address import Mailbox
from mailframe.smtp.reply import Reply

ELSEWHERE = Mailbox("moderator", "example.org")
MAIL = ("MAIL FROM:<a@client.example>", "RCPT TO:<bob@example.org>", "RCPT TO:<carol@example.org>")
TEXT = "Subject: x\r\nX-Away: 1\r\nX-Stays: 2\r\nx-away: 3\r\n folded\r\n\r\nX-Away: body\r\n"


class Sent:
    """A message sent through these filters."""

    def __init__(self, *filters, text=TEXT, mail=MAIL, **listener):
        self.watching = Watching()
        self.place = Place(filters=filters, observers=(self.watching,), **listener)
        talk = self.place.greeted()
        talk.say(*mail)
        talk.say("DATA")
        talk.send(text.encode() + b".\r\n")
        [self.answer] = talk.heard()

    @property
    def entries(self):
        return self.place.store.entries

    @property
    def envelope(self):
        [entry] = self.entries
        return entry.message.envelope


@pytest.fixture(params=["connected", "hello", "sender", "content"])
def stage(request) -> str:
    return request.param


def at(stage: str, **finding):
    return Speaks(**{stage: lambda *_: Finding(**finding)})


def test_held(stage: str) -> None:
    """It is accepted, and says in the queue why it waits; nobody leases it from birth."""
    sent = Sent(at(stage, hold="too many today"), at(stage, hold="another reason"))
    assert sent.answer.startswith("250 ") and sent.envelope.held == "too many today"
    assert sent.place.handed[0][1] is False


def test_quarantined(stage: str) -> None:
    """Held and marked as suspected, whatever else was to be held for."""
    sent = Sent(at(stage, hold="too many"), at(stage, quarantine="looks like phishing"))
    assert sent.envelope.held == "looks like phishing"
    assert sent.envelope.signals["quarantine"] == "looks like phishing"


def test_discarded(stage: str) -> None:
    """The client is told nothing else than ever, and nothing is there; observers know."""
    sent = Sent(at(stage, discard=True, hold="x"))
    assert sent.answer.startswith("250 2.0.0 OK, queued as ") and not sent.entries
    assert "discarded" in sent.watching.verdicts("reception")
    assert "accepted" not in sent.watching.verdicts("reception")


def test_redirected(stage: str) -> None:
    """Others get it in place of all recipients, who are known as where it came from."""
    sent = Sent(at(stage, redirect=(ELSEWHERE,)))
    [recipient] = sent.envelope.recipients
    assert recipient.address == ELSEWHERE and str(recipient.original) == "bob@example.org"


def test_redirected_at_rcpt() -> None:
    """Only this recipient."""

    def recipient(envelope, recipient):
        bob = recipient.address.local == "bob"
        return Finding(redirect=(ELSEWHERE, Mailbox("b", "c.example"))) if bob else None

    sent = Sent(Speaks(recipient=recipient))
    assert [str(each.address) for each in sent.envelope.recipients] == [
        "moderator@example.org", "b@c.example", "carol@example.org",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        (("", ""), None),
        ((" NOTIFY=NEVER", " NOTIFY=NEVER"), {"NEVER"}),
        ((" NOTIFY=SUCCESS", " NOTIFY=SUCCESS"), {"NEVER"}),
        ((" NOTIFY=NEVER", ""), None),
        ((" NOTIFY=SUCCESS,FAILURE", " NOTIFY=DELAY"), {"FAILURE", "DELAY"}),
    ],
)
def test_what_was_redirected_does_not_end_in_silence(
    asked: tuple[str, str], kept: set[str] | None
) -> None:
    """A sender who wants to hear of failures hears of this one, and never of a success."""
    mail = tuple(line + more for line, more in zip(MAIL[1:], asked, strict=True))
    sent = Sent(at("content", redirect=(ELSEWHERE,)), mail=(MAIL[0], *mail))
    [recipient] = sent.envelope.recipients
    assert recipient.notify == (None if kept is None else frozenset(kept))


def test_a_refusal_is_stricter_than_all(stage: str) -> None:
    """Whatever was to be done."""
    sent = Sent(
        at(stage, discard=True, hold="x"),
        Speaks(content=lambda *_: Reply(550, "No", "5.7.1")),
    )
    assert sent.answer == "550 5.7.1 No" and not sent.entries


@pytest.mark.parametrize(
    ("without", "left"),
    [
        ((Without("X-AWAY"),), b"Subject: x\r\nX-Stays: 2\r\n"),
        ((Without("x-away", (1,)),), b"Subject: x\r\nX-Away: 1\r\nX-Stays: 2\r\n"),
        ((Without("x-away", (0,)), Without("X-Away", (1, 7))), b"Subject: x\r\nX-Stays: 2\r\n"),
        ((Without("x-away", (0,)), Without("x-away")), b"Subject: x\r\nX-Stays: 2\r\n"),
        ((Without("absent"),), TEXT.encode().partition(b"\r\n\r\n")[0] + b"\r\n"),
    ],
)
def test_without_fields(stage: str, without: tuple[Without, ...], left: bytes) -> None:
    """Fields of the client's go, all of a name or some; every other octet stays."""
    sent = Sent(at(stage, without=without, headers=("X-Away: ours",)))
    [entry] = sent.entries
    content = entry.message.content
    assert content.body == left + b"\r\nX-Away: body\r\n"
    assert b"X-Away: ours\r\n" in content.prefix


def test_the_body_may_look_like_fields(stage: str) -> None:
    """Without a header section nothing is taken away."""
    sent = Sent(at(stage, without=(Without("x-away"),)), text="\r\nX-Away: 1\r\n")
    assert sent.entries[0].message.content.body == b"\r\nX-Away: 1\r\n"


def test_a_submitted_message_is_completed_after_it(stage: str) -> None:
    """What was taken away is missing, and is put on top as ever (RFC 6409 section 8)."""
    text = "Message-ID: <theirs@c.example>\r\nDate: 1\r\n\r\nHi\r\n"
    away = at(stage, without=(Without("message-id"),))
    [entry] = Sent(away, text=text, submission=True).entries
    assert entry.message.content.body == b"Date: 1\r\n\r\nHi\r\n"
    prefix = entry.message.content.prefix
    assert prefix.count(b"Message-ID: <") == 1 and b"Date:" not in prefix


def test_a_client_that_goes_while_fields_are_taken_away() -> None:
    """Nothing is made durable for it: it will send the message again."""

    def content(*_):
        place.store.slow.add("write")
        return Finding(without=(Without("x-away"),))

    place = Place(filters=(Speaks(content=content),))
    talk = place.greeted()
    talk.say(*MAIL, "DATA")
    talk.send(TEXT.encode() + b".\r\n")
    talk.disconnect()
    [waiting] = place.store.waiting
    waiting.callback(None)
    assert not place.store.entries and all(draft.aborted for draft in place.store.drafts)


def test_a_message_of_fields_only() -> None:
    """No empty line is needed, nor made."""
    sent = Sent(at("content", without=(Without("x-away"),)), text="X-Away: 1\r\nSubject: x\r\n")
    assert sent.entries[0].message.content.body == b"Subject: x\r\n"


def test_results_travel_with_the_envelope(stage: str) -> None:
    """Those who are asked later see them, and so does the queue."""
    seen = []
    spf = AuthResult("spf", "pass", properties={"smtp.mailfrom": "client.example"})
    dkim = AuthResult("dkim", "fail", "bad signature", {"header.d": "client.example"})
    last = Speaks(content=lambda envelope, _: seen.append(envelope.results))
    sent = Sent(at(stage, results=(spf,)), at("content", results=(dkim,)), last)
    assert seen == [(spf, dkim)] == [sent.envelope.results]


@pytest.mark.parametrize(
    "nonsense",
    [
        {"results": ("spf=pass",)},
        {"results": (AuthResult("spf", "pass\r\nX: y"),)},
        {"results": (AuthResult("", "pass"),)},
        {"without": ("Subject",)},
        {"without": (Without("Sub ject"),)},
        {"redirect": ("a@b.example",)},
        {"hold": "a\nb"},
        {"hold": True},
        {"discard": "yes"},
    ],
)
def test_nonsense_is_a_fault(nonsense) -> None:
    """451, and nothing is let in or lost by it."""
    sent = Sent(at("content", **nonsense))
    assert sent.answer.startswith("451 4.3.0 ") and not sent.entries

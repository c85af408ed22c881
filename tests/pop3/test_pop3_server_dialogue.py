"""What the conversations cannot show: wrong answers, secrets, the end, and what waits."""

from __future__ import annotations

import pytest

from mailframe.pop3.command import Auth, List, Noop, Pass, Quit, Retr, Uidl, User, Utf8
from mailframe.pop3.event import AuthLine, Rejected
from mailframe.pop3.offer import Offer
from mailframe.pop3.order import State
from mailframe.pop3.reply import AUTH_FAILED, BYE, LOCAL_ERROR, SHUTTING_DOWN, err, ok
from mailframe.pop3.server import ServerDialogue

OFFER = Offer(stls=True, user=True, auth=("PLAIN", "LOGIN"), utf8=True)


def spoken(octets: bytes, answers: int, offer: Offer = OFFER) -> ServerDialogue:
    """A dialogue that has heard these octets, and said +OK so many times."""
    dialogue = ServerDialogue(offer)
    dialogue.receive_data(octets)
    for _ in range(answers):
        assert dialogue.next_event() is not None
        dialogue.send(ok())
    return dialogue


def test_pass_has_its_user() -> None:
    """The name of the USER before it is there when PASS comes, and gone afterwards."""
    dialogue = spoken(b"USER anna\r\nPASS  a b \r\n", 1)
    assert dialogue.name == "anna"
    assert dialogue.next_event() == Pass(" a b ")
    assert dialogue.name == "anna"
    dialogue.send(ok())
    assert dialogue.name == ""
    assert dialogue.state is State.TRANSACTION


def test_a_refused_login_forgets_the_name() -> None:
    """RFC 1939 section 7: after a refused PASS the next login begins with USER."""
    dialogue = spoken(b"USER anna\r\nPASS x\r\n", 1)
    dialogue.next_event()
    assert dialogue.send(AUTH_FAILED) == b"-ERR [AUTH] Authentication failed\r\n"
    assert (dialogue.state, dialogue.name) == (State.AUTHORIZATION, "")


def test_utf8_is_remembered() -> None:
    """RFC 6856 section 2.1: from the +OK on, until TLS begins."""
    dialogue = spoken(b"UTF8\r\nUTF8\r\nSTLS\r\n", 0)
    assert dialogue.next_event() == Utf8()
    dialogue.send(err("Not now"))
    assert not dialogue.utf8
    dialogue.next_event()
    dialogue.send(ok())
    assert dialogue.utf8
    dialogue.next_event()
    dialogue.send(ok())
    dialogue.tls_started()
    assert not dialogue.utf8
    assert not dialogue.offer.stls


def test_commands_wait_for_the_end_of_a_message() -> None:
    """What is pipelined behind RETR is no event before the message has been sent."""
    dialogue = spoken(b"USER a\r\nPASS b\r\nRETR 1\r\nNOOP\r\n", 2)
    assert dialogue.next_event() == Retr(1)
    assert dialogue.send(ok("Here it is")) == b"+OK Here it is\r\n"
    assert dialogue.in_text
    assert dialogue.next_event() is None
    assert dialogue.feed(b"a: b\n") == b"a: b\r\n"
    assert dialogue.next_event() is None
    assert dialogue.finish() == b".\r\n"
    assert not dialogue.in_text
    assert dialogue.next_event() == Noop()


def test_a_text_at_once() -> None:
    """A short text is given with the reply; lines that begin with a dot are safe there, too."""
    dialogue = spoken(b"USER a\r\nPASS b\r\nLIST\r\nUIDL\r\nUIDL 1\r\n", 2)
    assert dialogue.next_event() == List()
    assert dialogue.send(ok(), b"1 120\r\n2 7\r\n") == b"+OK\r\n1 120\r\n2 7\r\n.\r\n"
    assert dialogue.next_event() == Uidl()
    assert dialogue.send(ok(), b".\r\n") == b"+OK\r\n..\r\n.\r\n"
    assert dialogue.next_event() == Uidl(1)
    with pytest.raises(ValueError, match="no text follows"):
        dialogue.send(ok("1 abc"), b"1 abc\r\n")
    assert dialogue.send(ok("1 abc")) == b"+OK 1 abc\r\n"


def test_wrong_answers_raise() -> None:
    """An answer without its event, or of the wrong kind, is a fault of the session."""
    dialogue = ServerDialogue(OFFER)
    with pytest.raises(ValueError, match="no event waits"):
        dialogue.send(ok())
    for begin in (dialogue.finish, lambda: dialogue.feed(b"x")):
        with pytest.raises(ValueError, match="no multi-line reply"):
            begin()
    dialogue.receive_data(b"BAD\r\nUSER a\r\nPASS b\r\nRETR 1\r\n")
    dialogue.next_event()
    with pytest.raises(ValueError, match="positive answer"):
        dialogue.send(ok())
    dialogue.send(err("No"))
    dialogue.next_event()
    with pytest.raises(ValueError, match="challenge"):
        dialogue.challenge(b"")
    dialogue.send(ok())
    dialogue.next_event()
    dialogue.send(ok())
    dialogue.next_event()
    with pytest.raises(ValueError, match="no text follows"):
        dialogue.send(err("No such message"), b"text")
    dialogue.send(ok())
    with pytest.raises(ValueError, match="no event waits"):
        dialogue.send(ok())


def test_quit_is_the_update_state_while_it_waits() -> None:
    """RFC 1939 section 6: messages are removed before the answer to QUIT."""
    dialogue = spoken(b"USER a\r\nPASS b\r\nQUIT\r\n", 2)
    assert dialogue.next_event() == Quit()
    assert dialogue.state is State.UPDATE
    dialogue.send(BYE)
    assert dialogue.state is State.CLOSED
    dialogue.receive_data(b"NOOP\r\n")
    assert dialogue.buffered == 0
    before_login = spoken(b"QUIT\r\n", 0)
    before_login.next_event()
    assert before_login.state is State.AUTHORIZATION


def test_close() -> None:
    """At any time, with a last word or without; nothing waits afterwards."""
    for reply, said in ((None, b""), (SHUTTING_DOWN, SHUTTING_DOWN.to_bytes())):
        dialogue = spoken(b"USER a\r\nPASS b\r\nNOOP\r\nNOOP\r\n", 2)
        assert dialogue.next_event() == Noop()
        assert dialogue.close(reply) == said
        assert dialogue.state is State.CLOSED
        assert not dialogue.owes_answer
        assert dialogue.next_event() is None
        assert dialogue.close(SHUTTING_DOWN) == b""


def test_close_says_nothing_within_a_message_or_a_handshake() -> None:
    """A last word there would be read as text of the message, or as broken TLS."""
    dialogue = spoken(b"USER a\r\nPASS b\r\nRETR 1\r\n", 3)
    dialogue.feed(b"half a li")
    assert dialogue.close(LOCAL_ERROR) == b""
    assert dialogue.state is State.CLOSED
    assert not dialogue.in_text
    assert spoken(b"STLS\r\n", 1).close(SHUTTING_DOWN) == b""


def test_secrets_are_not_shown() -> None:
    """No text that may be a password is in a refused line, or in a command's text."""
    assert "secret" not in repr([Pass("secret"), Auth("PLAIN", b"secret"), AuthLine(b"secret")])
    lines = [
        b"PASS secret\r\n",
        b"pass secret\r\n",
        b" PASS secret\r\n",
        b"AUTH PLAIN secret!\r\n",
        b"APOP anna secret\r\n",
        b"PASS secret" + b"x" * 600 + b"\r\n",
        b"AUTH UNKNOWN\r\nsecret\r\n",
        b"AUTH LOGIN\r\nsecret!\r\nsecret\r\n",
        b"USER anna\r\nPSAS secret\r\nsecret\r\n",
    ]
    for octets in lines:
        dialogue = ServerDialogue(OFFER)
        dialogue.receive_data(octets)
        rejected = 0
        while (event := dialogue.next_event()) is not None:
            if isinstance(event, Rejected):
                rejected += 1
                assert b"secret" not in event.line, octets
                dialogue.send(event.reply)
            elif isinstance(event, Auth):
                dialogue.challenge(b"")
            else:
                dialogue.send(ok())
        assert rejected


def test_other_lines_are_shown() -> None:
    """What is refused and holds no secret may stand in a log, cut to 512 octets."""
    dialogue = ServerDialogue(OFFER)
    dialogue.receive_data(b"GET / HTTP/1.1\r\n" + b"x" * 600 + b"\r\nCAPA\r\nBAD\r\n")
    first = dialogue.next_event()
    assert isinstance(first, Rejected)
    assert first.line == b"GET / HTTP/1.1"
    dialogue.send(first.reply)
    second = dialogue.next_event()
    assert isinstance(second, Rejected)
    assert second.line == b"x" * 512
    assert not second.last


def test_after_the_login_lines_are_shown_again() -> None:
    """The password has been sent by then."""
    dialogue = spoken(b"USER a\r\nPASS b\r\nBAD\r\n", 2)
    event = dialogue.next_event()
    assert isinstance(event, Rejected)
    assert event.line == b"BAD"


def test_an_offer_may_be_replaced() -> None:
    """What counts is what is on offer when the command comes."""
    dialogue = spoken(b"USER a\r\n", 0, Offer())
    assert isinstance(dialogue.next_event(), Rejected)
    dialogue.send(err("No"))
    dialogue.offer = OFFER
    dialogue.receive_data(b"USER a\r\n")
    assert dialogue.next_event() == User("a")
    assert b"USER\r\n" in dialogue.capabilities()
    assert dialogue.mechanisms() == b"PLAIN\r\nLOGIN\r\n"

"""The client's dialogue and the server's understand each other, both in memory."""

from __future__ import annotations

import pytest

from mailframe.smtp.address import Mailbox
from mailframe.smtp.client import ClientDialogue, Replied
from mailframe.smtp.command import Bdat, Command, Data, Ehlo, Lhlo, Mail, Quit, Rcpt, Rset
from mailframe.smtp.event import AuthLine, ContentEnd, ContentOctets, Rejected
from mailframe.smtp.offer import Offer
from mailframe.smtp.reply import BYE, GO_AHEAD, OK, RECIPIENT_OK, SENDER_OK, Reply
from mailframe.smtp.server import ServerDialogue
from mailframe.smtp.transparency import Dotter

A, B, C = (Mailbox(local, "x.example") for local in "abc")
NO = Reply(550, "No c here", "5.1.1")


class Pair:
    """Both ends, and what the server was told."""

    def __init__(self, *, lmtp: bool = False) -> None:
        self.server = ServerDialogue("mx.x.example", Offer(size=10**6), lmtp=lmtp)
        self.client = ClientDialogue(lmtp=lmtp)
        self.lmtp = lmtp
        self.content = b""
        self.commands: list[Command] = []
        self.client.receive_data(self.server.greeting().to_bytes())
        assert self.heard()[0].reply.code == 220

    def heard(self) -> list[Replied]:
        answers = []
        while (event := self.client.next_event()) is not None:
            assert isinstance(event, Replied), event
            answers.append(event)
        return answers

    def say(self, *commands: Command | AuthLine | ContentEnd, octets: bytes = b"") -> list[Replied]:
        """Everything at once, pipelined."""
        self.server.receive_data(self.client.send(*commands) + octets)
        while (event := self.server.next_event()) is not None:
            if isinstance(event, ContentOctets):
                self.content += event.octets
            elif not isinstance(event, Bdat):
                self.client.receive_data(self.server.send(*self.replies(event)))
        return self.heard()

    def replies(self, event: object) -> list[Reply]:
        if isinstance(event, ContentEnd):
            return [OK, OK] if self.lmtp else [OK]
        assert not isinstance(event, Rejected), event
        assert isinstance(event, Command)
        self.commands.append(event)
        if isinstance(event, Ehlo | Lhlo):
            return [self.server.hello_reply(event)]
        if isinstance(event, Rcpt):
            return [NO if event.recipient == C else RECIPIENT_OK]
        known = {Mail: SENDER_OK, Data: GO_AHEAD, Quit: BYE}
        return [known.get(type(event), OK)]


@pytest.mark.parametrize("lmtp", [False, True])
def test_a_session_with_everything(lmtp: bool) -> None:
    """Each command arrives as it was meant, each reply answers what it should."""
    pair = Pair(lmtp=lmtp)
    pair.say(Lhlo("us.example") if lmtp else Ehlo("us.example"))
    offered = pair.client.extensions
    assert offered.domain == "mx.x.example" and offered.size == 10**6
    for keyword in ("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "BINARYMIME"):
        assert keyword in offered, keyword
    mail = Mail(None, 99, "8BITMIME", True, "HDRS", "id +1", None)
    rcpts = [
        Rcpt(A, frozenset({"SUCCESS", "DELAY"}), "rfc822;a+b@x.example"),
        Rcpt(B),
        Rcpt(C, frozenset({"NEVER"})),
    ]
    codes = [answer.reply.code for answer in pair.say(mail, *rcpts, Data())]
    assert codes == [250, 250, 250, 550, 354]
    assert pair.commands[1:] == [mail, *rcpts, Data()]
    dotter = Dotter()
    octets = dotter.feed(b".one\r\n..two\r\n.") + dotter.finish()
    answers = pair.say(ContentEnd(), octets=octets)
    assert [answer.recipient for answer in answers] == ([A, B] if lmtp else [None])
    assert pair.content == b".one\r\n..two\r\n.\r\n"

    pair.content = b""
    assert len(pair.say(Rset(), Mail(A, body="BINARYMIME"), Rcpt(A), Rcpt(B))) == 4
    binary = b"\0\n\r\xff.\r\n"
    pair.server.receive_data(pair.client.send(Bdat(len(binary), last=True)))
    answers = pair.say(ContentEnd(), octets=binary)
    assert len(answers) == (2 if lmtp else 1) and pair.content == binary
    assert pair.say(Quit())[0].reply.code == 221 and pair.client.over

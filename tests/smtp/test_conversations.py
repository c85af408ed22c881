"""Each file in tests/conversations is one rule of the protocol, played against ServerDialogue.

A file is played three times: its octets whole, one by one, and in sevens. The first line is
the rule with its RFC. After it, lines that begin with `#` set the scene:

    # session: lmtp strict normalize           LMTP instead of SMTP; how it reads (ServerDialogue)
    # offer: size=1000 starttls auth=PLAIN,LOGIN recipients=10 messages=5
    # offer after tls: auth=PLAIN              what the session offers once TLS is on
    # answer RCPT: 550 5.1.1 No such mailbox   the session's answer to every RCPT
    # answer RCPT 2: 550 5.1.1 No              the session's answer to the second RCPT
    # accepts: 0                               so many messages were accepted at the end

Verbs are those of the commands, LINE for what follows a 334, CONTENT for a content's end.
Whatever is not said is accepted. Then the conversation:

    C: EHLO client.example      a line of the client, CRLF added
    C| octets                   octets of the client, nothing added
    S: 250 2.0.0 OK             a line of the server; "..." at its end stands for the rest
    S* 250                      one whole reply that begins so, of any number of lines
    T:                          the TLS handshake completes
    M: text                     a line of the messages accepted so far, CRLF added
    M| octets                   octets of them, nothing added

In C and M: \\r \\n \\t \\0 \\\\ \\xHH, and {2000*a} for many. Consecutive C lines arrive together.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from itertools import groupby
from pathlib import Path

import pytest

from mailframe.smtp.command import (
    Auth,
    Bdat,
    Data,
    Ehlo,
    Expn,
    Helo,
    Help,
    Lhlo,
    Mail,
    Quit,
    Rcpt,
    StartTls,
    Vrfy,
)
from mailframe.smtp.event import AuthLine, ContentEnd, ContentOctets, Event, Rejected
from mailframe.smtp.offer import Offer
from mailframe.smtp.reply import (
    AUTHENTICATED,
    BYE,
    CANNOT_VERIFY,
    GO_AHEAD,
    NOT_IMPLEMENTED,
    OK,
    OUT_OF_STEP,
    READY_FOR_TLS,
    RECIPIENT_OK,
    SENDER_OK,
    Reply,
)
from mailframe.smtp.server import ServerDialogue

FILES = sorted((Path(__file__).parent.parent / "conversations").glob("*.smtp"))
_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|([rnt0\\]))|\{(\d+)\*((?:\\x..|\\.|[^}])+)\}")
_PLAIN = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}
_ACCEPTED = {
    Mail: SENDER_OK,
    Rcpt: RECIPIENT_OK,
    Data: GO_AHEAD,
    Quit: BYE,
    StartTls: READY_FOR_TLS,
    Vrfy: CANNOT_VERIFY,
    Expn: NOT_IMPLEMENTED,
    Auth: AUTHENTICATED,
    AuthLine: AUTHENTICATED,
}
_FLAGS = {each.name for each in dataclasses.fields(Offer) if "bool" in str(each.type)}
_VERBS = {AuthLine: "LINE", ContentEnd: "CONTENT"}


def unescape(text: str) -> bytes:
    """The octets that a line of a conversation stands for."""

    def octets(match: re.Match[bytes]) -> bytes:
        if match[1]:
            return bytes.fromhex(match[1].decode())
        if match[2]:
            return _PLAIN[match[2]]
        return int(match[3]) * unescape(match[4].decode())

    return _ESCAPE.sub(octets, text.encode())


def read_reply(text: str) -> Reply:
    """`550 5.1.1 No such mailbox` as a Reply."""
    match = re.fullmatch(r"(\d{3}) ?(?:([245]\.\d+\.\d+) )?(.*)", text)
    assert match, text
    return Reply(int(match[1]), match[3], match[2])


def read_offer(text: str) -> Offer:
    """`size=1000 starttls auth=PLAIN,LOGIN` as an Offer."""
    fields: dict[str, object] = {}
    for word in text.split():
        key, _, value = word.partition("=")
        if key == "auth":
            fields[key] = tuple(value.split(","))
        else:
            fields[key] = value != "no" if key in _FLAGS else int(value)
    return Offer(**fields)  # type: ignore[arg-type]


class Scene:
    """A session that answers as the file says, and remembers what it accepted."""

    def __init__(self, directives: dict[str, str]) -> None:
        self.directives = directives
        session = directives.get("session", "").split()
        self.lmtp = "lmtp" in session
        offer = read_offer(directives.get("offer", ""))
        self.dialogue = ServerDialogue(
            "mx.example",
            offer,
            lmtp=self.lmtp,
            strict="strict" in session,
            normalize="normalize" in session,
        )
        self.accepted: list[bytes] = []
        self._asked: Counter[str] = Counter()
        self._content = b""
        self._recipients = 0

    def hear(self, octets: bytes) -> bytes:
        """What the server says to these octets."""
        self.dialogue.receive_data(octets)
        said = b""
        while (event := self.dialogue.next_event()) is not None:
            if isinstance(event, ContentOctets):
                assert event.octets
                self._content += event.octets
            elif not isinstance(event, Bdat):
                said += self.dialogue.send(*self._answer(event))
        return said

    def secure(self) -> None:
        """The TLS handshake completes."""
        self.dialogue.tls_started()
        self.dialogue.offer = read_offer(self.directives.get("offer after tls", ""))

    def _scripted(self, kind: type[Event], default: Reply) -> Reply:
        verb = _VERBS.get(kind) or kind.__name__.upper()
        self._asked[verb] += 1
        text = self.directives.get(f"answer {verb} {self._asked[verb]}")
        text = text or self.directives.get(f"answer {verb}")
        return read_reply(text) if text else default

    def _answer(self, event: Event) -> list[Reply]:
        if isinstance(event, Rejected):
            return [event.reply, OUT_OF_STEP] if event.last else [event.reply]
        if isinstance(event, ContentEnd):
            return self._end(event)
        default = _ACCEPTED.get(type(event), OK)
        if isinstance(event, Helo | Ehlo | Lhlo):
            default = self.dialogue.hello_reply(event)
        elif isinstance(event, Help):
            default = self.dialogue.help_reply()
        reply = self._scripted(type(event), default)
        if isinstance(event, Mail):
            self._content, self._recipients = b"", 0
        if isinstance(event, Rcpt):
            self._recipients += reply.positive
        return [reply]

    def _end(self, end: ContentEnd) -> list[Reply]:
        if end.refusal is not None:
            return [end.refusal]
        many = self._recipients if self.lmtp and end.last else 1
        replies = [self._scripted(ContentEnd, OK) for _ in range(many)]
        if end.last and any(reply.positive for reply in replies):
            self.accepted.append(self._content)
        if end.last:
            self._content = b""
        return replies


def read(path: Path) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """The directives and the lines (mark, text) of a conversation."""
    rule, *lines = path.read_text("utf-8").splitlines()
    assert re.match(r"# RFC \d+( and RFC \d+)?( section [\d.]+)?: .+\.$", rule), rule
    directives: dict[str, str] = {}
    steps: list[tuple[str, str]] = []
    for line in lines:
        if line.startswith("#"):
            key, colon, value = line[1:].partition(":")
            assert colon, line
            directives[key.strip()] = value.strip()
        elif line:
            assert re.match(r"(C[:|]|S[:*]|M[:|]|T:)( |$)", line), line
            steps.append((line[:2], line[3:]))
    return directives, steps


def match_replies(said: list[str], expected: list[tuple[str, str]]) -> None:
    """Compare the server's lines with those of the file."""
    for mark, text in expected:
        assert said, f"the server did not say {text!r}"
        line = said.pop(0)
        while mark == "S*" and line[3:4] == "-":
            assert line[:3] == text[:3], line
            line = said.pop(0)
        if mark == "S*" or text.endswith("..."):
            assert line.startswith(text.removesuffix("...")), (line, text)
        else:
            assert line == text
    assert not said, f"the server said more: {said}"


def play(path: Path, cut: int) -> None:
    """Play the file, the client's octets arriving `cut` at a time (0: together)."""
    directives, steps = read(path)
    scene = Scene(directives)
    said = b""
    for mark, group in groupby(steps, key=lambda step: step[0][0]):
        if mark == "C":
            octets = b"".join(unescape(text) + b"\r\n" * (kind == "C:") for kind, text in group)
            for at in range(0, len(octets), cut or len(octets)):
                said += scene.hear(octets[at : at + (cut or len(octets))])
        elif mark == "S":
            assert said.endswith(b"\r\n"), said
            match_replies(said.decode().split("\r\n")[:-1], list(group))
            said = b""
        elif mark == "T":
            scene.secure()
        else:
            texts = [unescape(text) + b"\r\n" * (kind == "M:") for kind, text in group]
            assert b"".join(scene.accepted) == b"".join(texts)
    assert not said, f"the server said more: {said!r}"
    if "accepts" in directives:
        assert len(scene.accepted) == int(directives["accepts"])


@pytest.mark.parametrize("cut", [0, 1, 7], ids=["whole", "bytes", "sevens"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_conversation(path: Path, cut: int) -> None:
    """The rule in the file's first line holds, however the octets are cut."""
    play(path, cut)


def test_there_are_conversations() -> None:
    """The folder is where this file looks for it."""
    assert len(FILES) >= 60

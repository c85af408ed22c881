"""Each file in tests/conversations/pop3 is one rule of the protocol, played against ServerDialogue.

A file is played three times: its octets whole, one by one, and in sevens. The first line is
the rule with its RFC. After it, lines that begin with `#` set the scene:

    # offer: stls user utf8 auth=PLAIN,LOGIN login_delay=60 expire=NEVER per_user
    # offer after tls: user                    what the session offers once TLS is on
    # session: bad_commands=3                  what ServerDialogue is made with
    # answer DELE: -ERR No such message        the session's answer to every DELE
    # answer PASS 2: -ERR [IN-USE] Locked      the session's answer to the second PASS
    # answer AUTH: + VXNlcm5hbWU6              a challenge
    # text RETR: octets                        what follows a positive answer to RETR
    # ends: closed                             the dialogue's state at the end

Verbs are those of the commands, LINE for what follows a challenge, MECHANISMS for AUTH alone.
Whatever is not said is accepted. Then the conversation:

    C: NOOP                     a line of the client, CRLF added
    C| octets                   octets of the client, nothing added
    S: +OK                      a line of the server; "..." at its end stands for the rest
    S*                          lines up to the single dot
    T:                          the TLS handshake completes

In C and texts: \\r \\n \\t \\0 \\\\ \\xHH, and {2000*a} for many. Consecutive C lines arrive
together.
"""

from __future__ import annotations

import dataclasses
import re
from base64 import b64decode
from collections import Counter
from itertools import groupby
from pathlib import Path

import pytest

from mailframe.pop3.command import Capa, Mechanisms
from mailframe.pop3.event import AuthLine, Event, Rejected
from mailframe.pop3.offer import Offer
from mailframe.pop3.reply import Reply, ResponseCode, ok
from mailframe.pop3.server import ServerDialogue

FILES = sorted((Path(__file__).parent.parent / "conversations" / "pop3").glob("*.pop3"))
_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|([rnt0\\]))|\{(\d+)\*((?:\\x..|\\.|[^}])+)\}")
_PLAIN = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}
_FLAGS = {each.name for each in dataclasses.fields(Offer) if "bool" in str(each.type)}
_NUMBERS = {"login_delay", "expire"}


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
    """`-ERR [IN-USE] Locked` as a Reply."""
    match = re.fullmatch(r"(\+OK|-ERR)(?: \[([A-Z/0-9-]+)\])?(?: (.*))?", text)
    assert match, text
    code = ResponseCode(match[2]) if match[2] else None
    return Reply(match[1] == "+OK", match[3] or "", code)


def read_offer(text: str) -> Offer:
    """`stls auth=PLAIN,LOGIN expire=30` as an Offer."""
    fields: dict[str, object] = {}
    for word in text.split():
        key, equals, value = word.partition("=")
        if key == "auth":
            fields[key] = tuple(value.split(","))
        elif key in _NUMBERS:
            fields[key] = int(value) if value.isdigit() else value
        else:
            assert (key in _FLAGS) is not bool(equals), word
            fields[key] = value or True
    return Offer(**fields)  # type: ignore[arg-type]


class Scene:
    """A session that answers as the file says."""

    def __init__(self, directives: dict[str, str]) -> None:
        self.directives = directives
        words = dict(word.split("=") for word in directives.get("session", "").split())
        offer = read_offer(directives.get("offer", ""))
        numbers = {key: int(value) for key, value in words.items()}
        self.dialogue = ServerDialogue(offer, **numbers)
        self._asked: Counter[str] = Counter()

    def hear(self, octets: bytes) -> bytes:
        """What the server says to these octets."""
        self.dialogue.receive_data(octets)
        said = b""
        while (event := self.dialogue.next_event()) is not None:
            assert self.dialogue.owes_answer
            said += self._answer(event)
            assert not self.dialogue.owes_answer
        return said

    def secure(self) -> None:
        """The TLS handshake completes."""
        self.dialogue.tls_started()
        if "offer after tls" in self.directives:
            self.dialogue.offer = read_offer(self.directives["offer after tls"])

    def _answer(self, event: Event) -> bytes:
        if isinstance(event, Rejected):
            return self.dialogue.send(event.reply)
        verb = "LINE" if isinstance(event, AuthLine) else type(event).__name__.upper()
        self._asked[verb] += 1
        text = self.directives.get(f"answer {verb} {self._asked[verb]}")
        text = text or self.directives.get(f"answer {verb}", "+OK")
        if re.match(r"\+( |$)", text):
            return self.dialogue.challenge(b64decode(text[1:]))
        said = self.dialogue.send(ok() if text == "+OK" else read_reply(text))
        if self.dialogue.in_text:
            content = unescape(self.directives.get(f"text {verb}", ""))
            if isinstance(event, Capa):
                content = self.dialogue.capabilities()
            elif isinstance(event, Mechanisms):
                content = self.dialogue.mechanisms()
            for at in range(len(content)):
                said += self.dialogue.feed(content[at : at + 1])
            said += self.dialogue.finish()
        return said


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
            assert re.match(r"(C[:|]|S[:*]|T:)( |$)", line), line
            steps.append((line[:2], line[3:]))
    return directives, steps


def match_replies(said: list[str], expected: list[tuple[str, str]]) -> None:
    """Compare the server's lines with those of the file."""
    for mark, text in expected:
        assert said, f"the server did not say {text!r}"
        line = said.pop(0)
        if mark == "S*":
            while line != ".":
                line = said.pop(0)
        elif text.endswith("..."):
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
        else:
            assert scene.dialogue.state == "securing"
            scene.secure()
    assert not said, f"the server said more: {said!r}"
    if "ends" in directives:
        assert scene.dialogue.state == directives["ends"]


@pytest.mark.parametrize("cut", [0, 1, 7], ids=["whole", "bytes", "sevens"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_conversation(path: Path, cut: int) -> None:
    """The rule in the file's first line holds, however the octets are cut."""
    play(path, cut)


def test_there_are_conversations() -> None:
    """The folder is where this file looks for it."""
    assert len(FILES) >= 30

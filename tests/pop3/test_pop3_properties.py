"""Properties of the language: no cut of the octets matters, no garbage raises, all is read back."""

from __future__ import annotations

import io
import poplib
import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mailframe.pop3.command import Auth, Quit, Retr, Stls
from mailframe.pop3.event import AuthLine, Event, Rejected
from mailframe.pop3.excerpt import Excerpt
from mailframe.pop3.grammar import parse_command
from mailframe.pop3.offer import Offer
from mailframe.pop3.order import State
from mailframe.pop3.reply import Reply, err, ok
from mailframe.pop3.server import MAX_AUTH_LINE, ServerDialogue
from mailframe.pop3.stuffing import Stuffer

COMMON = settings(max_examples=150, deadline=None)

LOGIN = b"USER anna\r\nPASS secret\r\n"
FRAGMENTS = st.sampled_from(
    [
        LOGIN,
        b"USER anna\r\n",
        b"PASS secret\r\n",
        b"AUTH PLAIN AGEAYg==\r\n",
        b"AUTH LOGIN\r\n",
        b"auth\n",
        b"YQ==\r\n",
        b"*\r\n",
        b"CAPA\r\n",
        b"UTF8\r\n",
        b"STLS\r\n",
        b"STAT\r\n",
        b"LIST\r\n",
        b"LIST 1\n",
        b"UIDL\r\n",
        b"RETR 1\r\n",
        b"TOP 1 2\r\n",
        b"DELE 1\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"QUIT\r\n",
        b"\r",
        b"\n",
        b"\0",
        b"x" * 600,
        b"A" * 5000,
    ]
)
SESSIONS = st.lists(st.one_of(FRAGMENTS, FRAGMENTS, FRAGMENTS, st.binary(max_size=8)), max_size=30)
BEGINNINGS = st.sampled_from([b"", LOGIN, b"AUTH LOGIN\r\n", b"STLS\r\n"])
OFFER = Offer(stls=True, user=True, auth=("PLAIN", "LOGIN"), utf8=True)
# Pieces of messages: what matters at their edges, and what does not.
PIECES = st.sampled_from([b"\r\n", b"\n", b"\r", b".", b"..", b"\r\n.\r\n", b"\0", b"a", b"\xff"])
TEXTS = st.lists(PIECES, max_size=40).map(b"".join)
CUTS = st.lists(st.integers(0, 10000), max_size=40)


def pieces(octets: bytes, cuts: list[int]) -> list[bytes]:
    """The octets cut at these places."""
    edges = sorted({0, len(octets), *(cut % (len(octets) + 1) for cut in cuts)})
    return [octets[start:end] for start, end in pairwise(edges)]


def judge(event: Event, number: int) -> Reply:
    """An answer that depends on the event and its number alone."""
    if isinstance(event, Rejected):
        return event.reply
    return err("Later") if number % 7 == 6 else ok()


def hear(octets: bytes, cuts: list[int]) -> tuple[list[object], bytes, str]:
    """The events of these octets, what was said, and the state at the end."""
    dialogue = ServerDialogue(OFFER)
    events: list[object] = []
    said = b""
    for piece in pieces(octets, cuts):
        dialogue.receive_data(piece)
        while (event := dialogue.next_event()) is not None:
            assert dialogue.owes_answer
            assert dialogue.next_event() is None
            events.append(event)
            if isinstance(event, Auth) and event.initial is None:
                said += dialogue.challenge(b"Username:")
                continue
            said += dialogue.send(judge(event, len(events)))
            if dialogue.in_text:
                assert dialogue.owes_answer
                assert dialogue.next_event() is None
                said += dialogue.feed(b".a\n\n.b\n") + dialogue.finish()
        assert dialogue.buffered < MAX_AUTH_LINE
    return events, said, dialogue.state


@COMMON
@given(SESSIONS, CUTS, BEGINNINGS)
def test_any_cut_gives_the_same_events(
    fragments: list[bytes], cuts: list[int], beginning: bytes
) -> None:
    """However the octets arrive, the events, the answers and the state are the same."""
    octets = beginning + b"".join(fragments)
    whole = hear(octets, [])
    assert hear(octets, cuts) == whole
    assert hear(octets, list(range(len(octets)))) == whole


@COMMON
@given(st.lists(st.one_of(st.binary(max_size=300), FRAGMENTS), max_size=20), BEGINNINGS)
def test_garbage_never_raises(chunks: list[bytes], beginning: bytes) -> None:
    """Whatever comes, the dialogue has an answer, and keeps no more than a line."""
    octets = beginning + b"".join(chunks)
    hear(octets, list(range(0, len(octets), 13)))


@COMMON
@given(SESSIONS, BEGINNINGS)
def test_every_event_gets_one_status_line(fragments: list[bytes], beginning: bytes) -> None:
    """Replies and events correspond one to one, in their order."""
    events, said, _ = hear(beginning + b"".join(fragments), [])
    # The text that follows a status line holds none that looks like one.
    lines = [line for line in said.split(b"\r\n") if re.match(rb"\+|-ERR", line)]
    assert len(lines) == len(events)
    for number, event in enumerate(events, 1):
        positive = not isinstance(event, Rejected) and number % 7 != 6
        assert lines[number - 1].startswith(b"-ERR") is not (
            positive or (isinstance(event, Auth) and event.initial is None)
        )


@COMMON
@given(SESSIONS, BEGINNINGS)
def test_nothing_follows_the_end(fragments: list[bytes], beginning: bytes) -> None:
    """QUIT, an accepted STLS and the last bad command are the last events, whatever came behind."""
    events, _, state = hear(beginning + b"".join(fragments), [])
    for number, event in enumerate(events, 1):
        if isinstance(event, Quit) or (isinstance(event, Rejected) and event.last):
            assert number == len(events)
            assert state is State.CLOSED
        if isinstance(event, Stls) and number % 7 != 6:
            assert number == len(events)
            assert state is State.SECURING


@COMMON
@given(st.binary(max_size=60))
@example(b"AUTH \xc3\xa9")
@example(b"RETR \xd9\xa1")
@example(b"TOP 1 " + b"0" * 50)
def test_a_line_is_a_command_or_refused(line: bytes) -> None:
    """No line raises, and what is refused is refused with -ERR."""
    command = parse_command(line)
    assert not isinstance(command, Reply) or not command.positive


@COMMON
@given(st.text(max_size=60))
def test_a_password_comes_as_it_is(password: str) -> None:
    """Blanks are a part of it; only what no line can hold is refused."""
    command: Any = parse_command(b"PASS " + password.encode())
    if not isinstance(command, Reply):
        assert command.password == password
    elif password.isprintable():
        assert password == ""


def test_an_endless_line_is_not_kept() -> None:
    """50 MB without a line end leave less than a line in the buffer, in every state."""
    for beginning in (b"", b"AUTH ", LOGIN, b"AUTH LOGIN\r\n"):
        dialogue = ServerDialogue(OFFER)
        dialogue.receive_data(beginning)
        for _ in range(50):
            dialogue.receive_data(b"A" * 1_000_000)
            while (event := dialogue.next_event()) is not None:
                if isinstance(event, Auth):
                    dialogue.challenge(b"")
                else:
                    dialogue.send(judge(event, 0))
            assert dialogue.buffered < MAX_AUTH_LINE


class _Wire(io.RawIOBase):
    """What poplib takes for a socket and for its file: the dialogue is on the other side."""

    def __init__(self, dialogue: ServerDialogue, text: bytes, cuts: list[int]) -> None:
        self._dialogue, self._text, self._cuts = dialogue, text, cuts
        self._said = io.BytesIO(b"+OK ready\r\n")

    def makefile(self, _mode: str) -> _Wire:
        return self

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._said.readline(size)

    def sendall(self, octets: bytes) -> None:
        dialogue, said = self._dialogue, b""
        dialogue.receive_data(octets)
        while (event := dialogue.next_event()) is not None:
            assert not isinstance(event, Rejected | AuthLine)
            said += dialogue.send(ok())
            if dialogue.in_text:
                for piece in pieces(self._text, self._cuts):
                    said += dialogue.feed(piece)
                said += dialogue.finish()
        self._said = io.BytesIO(said)


class _Client(poplib.POP3):
    """poplib's client with a dialogue for its network."""

    def __init__(self, text: bytes, cuts: list[int]) -> None:
        self._wire = _Wire(ServerDialogue(Offer(user=True)), text, cuts)
        super().__init__("mx.example")
        self.user("anna")
        self.pass_("secret")

    def _create_socket(self, timeout: float) -> Any:
        return self._wire


@COMMON
@given(TEXTS, CUTS)
@example(b".", [])
@example(b"a\r", [1])
@example(b"\r\n.\r\n.\n.", [2, 3])
def test_poplib_reads_what_was_kept(text: bytes, cuts: list[int]) -> None:
    """Whatever the octets and their cuts, each line comes out as it went in, dots included."""
    _, lines, _ = _Client(text, cuts).retr(1)
    assert lines == text_lines(text)


@COMMON
@given(TEXTS, CUTS, st.integers(0, 6))
@example(b"a\n\nb\nc", [], 1)
@example(b"a\n\nb\nc", [], 0)
def test_poplib_reads_the_top(text: bytes, cuts: list[int], count: int) -> None:
    """TOP gives the lines to the first empty one, and so many of those behind it."""
    kept = text_lines(text)
    # An unfinished last line is none that could be the empty one.
    finished = kept if text.endswith(b"\n") else kept[:-1]
    header = finished.index(b"") + 1 if b"" in finished else len(kept)
    _, lines, _ = _Client(text, cuts).top(1, count)
    assert lines == kept[: header + count]


def text_lines(text: bytes) -> list[bytes]:
    """The lines of a text, in which LF and CRLF end one."""
    lines = text.replace(b"\r\n", b"\n").split(b"\n")
    return lines if lines[-1] else lines[:-1]


@COMMON
@given(TEXTS, CUTS)
def test_only_the_end_looks_like_the_end(text: bytes, cuts: list[int]) -> None:
    """A line that is a single dot comes once, and last; no LF is without its CR."""
    stuffer = Stuffer()
    wire = b"".join(map(stuffer.feed, pieces(text, cuts))) + stuffer.finish()
    assert (b"\r\n" + wire).index(b"\r\n.\r\n") == len(wire) - len(b".\r\n")
    assert re.search(rb"(?<!\r)\n", wire) is None


@pytest.mark.parametrize("lines", [0, 2, 10**9])
def test_an_excerpt_keeps_almost_nothing(lines: int) -> None:
    """It passes on what comes, in whatever pieces, and forgets it."""
    excerpt = Excerpt(lines)
    head = b"a: b\r\n" * 1000 + b"\r\n"
    said = b"".join(excerpt.feed(bytes([octet])) for octet in head + b"x\r\n" * 5)
    assert said == head + b"x\r\n" * min(lines, 5)
    assert excerpt.full is (lines < 5)


def test_retr_is_not_cut() -> None:
    """Only TOP has enough before the end of the message."""
    dialogue = ServerDialogue(Offer(user=True))
    dialogue.receive_data(LOGIN + b"RETR 1\r\nTOP 1 0\r\n")
    for _ in range(2):
        dialogue.next_event()
        dialogue.send(ok())
    assert dialogue.next_event() == Retr(1)
    dialogue.send(ok())
    assert dialogue.feed(b"a: b\n\nbody\n") == b"a: b\r\n\r\nbody\r\n"
    assert not dialogue.has_enough
    dialogue.finish()
    dialogue.next_event()
    dialogue.send(ok())
    assert dialogue.feed(b"a: b\n\nbody\n") == b"a: b\r\n\r\n"
    assert dialogue.has_enough
    assert dialogue.feed(b"more\n") == b""
    assert dialogue.finish() == b".\r\n"
    assert not dialogue.has_enough

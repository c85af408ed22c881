"""What a user sees of a mailbox, through poplib and against a model."""

from __future__ import annotations

import io
import poplib
from typing import Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailframe.pop3.command import Dele, List, Noop, Pass, Quit, Retr, Rset, Stat, Top, Uidl, User
from mailframe.pop3.event import Event, Rejected
from mailframe.pop3.maildrop import ROWS, Listing, Maildrop, MessageWanted
from mailframe.pop3.offer import Offer
from mailframe.pop3.order import State
from mailframe.pop3.reply import BYE, LOGGED_IN, MESSAGE_DELETED, NO_SUCH_MESSAGE, Reply, ok
from mailframe.pop3.server import ServerDialogue

MESSAGES = [
    b"Subject: one\r\n\r\nfirst\r\n.\r\nthird\r\n",
    b"Subject: two\n\n" + b"a line of it\n" * 5000,
    b"Subject: three\r\n\r\n",
]


def sent_size(message: bytes) -> int:
    return len(message.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


def maildrop_of(messages: list[bytes]) -> Maildrop:
    uids = [f"{number:08X}u65a1b2c3" for number in range(1, len(messages) + 1)]
    return Maildrop([sent_size(message) for message in messages], uids)


class _Server:
    """A session and its wire in one: poplib takes it for a socket and for a file."""

    def __init__(self, messages: list[bytes]) -> None:
        self.messages = messages
        self.removed: list[int] | None = None
        self.read = 0  # octets of messages
        self.dialogue = ServerDialogue(Offer(user=True))
        self._maildrop = maildrop_of(messages)
        self._said = io.BytesIO(b"+OK ready\r\n")

    def makefile(self, _mode: str) -> _Server:
        return self

    def readline(self, size: int) -> bytes:
        return self._said.readline(size)

    def sendall(self, octets: bytes) -> None:
        self.dialogue.receive_data(octets)
        said = b""
        while (event := self.dialogue.next_event()) is not None:
            said += self._answer(event)
        self._said = io.BytesIO(said)

    def shutdown(self, _how: int) -> None:
        self.dialogue.close()

    def close(self) -> None:
        self.dialogue.close()

    def _open(self, number: int) -> BinaryIO:
        return io.BytesIO(self.messages[number - 1])

    def _answer(self, event: Event) -> bytes:
        dialogue = self.dialogue
        if isinstance(event, Rejected):
            return dialogue.send(event.reply)
        if isinstance(event, User | Pass):
            return dialogue.send(LOGGED_IN)
        if isinstance(event, Quit):
            if dialogue.state is State.UPDATE:
                self.removed = self._maildrop.deleted
            return dialogue.send(BYE)
        assert isinstance(event, Stat | List | Uidl | Retr | Top | Dele | Rset | Noop)
        outcome = self._maildrop.answer(event)
        if isinstance(outcome, Reply):
            return dialogue.send(outcome)
        said = dialogue.send(outcome.reply)
        if isinstance(outcome, Listing):
            said += b"".join(map(dialogue.feed, outcome.rows))
        else:
            said += self._send(self._open(outcome.number))
        return said + dialogue.finish()

    def _send(self, message: BinaryIO) -> bytes:
        said = b""
        while not self.dialogue.has_enough and (octets := message.read(100)):
            self.read += len(octets)
            said += self.dialogue.feed(octets)
        return said


class _Client(poplib.POP3):
    def __init__(self, server: _Server) -> None:
        self._server = server
        super().__init__("mx.example")
        self.user("anna")
        self.pass_("secret")

    def _create_socket(self, timeout: float) -> Any:
        return self._server


def test_a_whole_session() -> None:
    """poplib counts, lists, reads, deletes and quits; only QUIT removes."""
    server = _Server(MESSAGES)
    client = _Client(server)
    sizes = [sent_size(message) for message in MESSAGES]
    assert client.stat() == (3, sum(sizes))
    assert client.list()[1] == [f"{n} {size}".encode() for n, size in enumerate(sizes, 1)]
    assert client.list(2) == f"+OK 2 {sizes[1]}".encode()
    assert client.uidl()[1][0] == b"1 00000001u65a1b2c3"
    assert client.uidl(3) == b"+OK 3 00000003u65a1b2c3"
    assert client.retr(1)[1] == MESSAGES[0].split(b"\r\n")[:-1]
    assert len(client.retr(2)[1]) == 5002
    client.dele(1)
    client.dele(3)
    client.rset()
    client.dele(2)
    assert client.stat() == (2, sizes[0] + sizes[2])
    assert [line.split()[0] for line in client.list()[1]] == [b"1", b"3"]
    assert [line.split()[0] for line in client.uidl()[1]] == [b"1", b"3"]
    assert server.removed is None
    client.quit()
    assert server.removed == [2]


def test_top_reads_no_more_than_it_shows() -> None:
    """Of a long message only the front is read."""
    server = _Server(MESSAGES)
    lines = _Client(server).top(2, 2)[1]
    assert lines == [b"Subject: two", b"", b"a line of it", b"a line of it"]
    assert server.read == 100


def test_a_message_that_is_deleted_is_gone() -> None:
    """RFC 1939 section 5: no command refers to it before RSET; RFC 1939 section 7: UIDL, too."""
    client = _Client(_Server(MESSAGES))
    client.dele(2)
    for ask in (client.retr, client.dele, client.list, client.uidl, lambda n: client.top(n, 0)):
        with pytest.raises(poplib.error_proto, match="marked as deleted"):
            ask(2)
        with pytest.raises(poplib.error_proto, match="No such message"):
            ask(4)
    client.rset()
    assert client.retr(2)


def test_an_end_without_quit_removes_nothing() -> None:
    """RFC 1939 section 6: only QUIT leads to the UPDATE state."""
    server = _Server(MESSAGES)
    client = _Client(server)
    client.dele(1)
    client.close()
    assert server.removed is None


def test_last_is_no_command() -> None:
    """RFC 1939 has dropped the LAST of RFC 1460."""
    client: Any = _Client(_Server(MESSAGES))
    with pytest.raises(poplib.error_proto, match="not recognized"):
        client._shortcmd("LAST")


def test_an_empty_maildrop() -> None:
    """It has no messages, and says so in every way."""
    client = _Client(_Server([]))
    assert client.stat() == (0, 0)
    assert client.list()[1] == client.uidl()[1] == []


def test_a_long_listing_comes_in_pieces() -> None:
    """Each piece has a bounded number of messages, so that the session can pause between."""
    maildrop = Maildrop([7] * 2500, [str(number) for number in range(2500)])
    maildrop.answer(Dele(1001))
    outcome = maildrop.answer(List())
    assert isinstance(outcome, Listing)
    rows = list(outcome.rows)
    assert [piece.count(b"\r\n") for piece in rows] == [ROWS, ROWS - 1, 500]
    assert rows[1].startswith(b"1002 7\r\n")


@pytest.mark.parametrize("uid", ["", "a b", "a\n", "\n", "a\r\nb", "ä", "x" * 71])
def test_a_wrong_unique_id_is_refused(uid: str) -> None:
    """RFC 1939 section 7: 1 to 70 characters from ! to ~; a line end would split the listing."""
    with pytest.raises(ValueError, match="unique id"):
        Maildrop([1, 2], ["fine", uid])


def test_each_message_has_its_unique_id() -> None:
    """A different number of sizes and unique ids is a fault of the store."""
    with pytest.raises(ValueError, match="2 sizes and 1 unique ids"):
        Maildrop([1, 2], ["a"])
    assert Maildrop([1], ["x" * 70]).answer(Uidl(1)) == ok(f"1 {'x' * 70}")


NUMBERS = st.integers(1, 6)
COMMANDS = st.one_of(
    st.builds(Dele, NUMBERS),
    st.builds(Dele, NUMBERS),
    st.builds(Retr, NUMBERS),
    st.builds(List, NUMBERS),
    st.just(Rset()),
    st.just(Stat()),
    st.just(List()),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(COMMANDS, max_size=30))
def test_marks_are_as_a_model_has_them(commands: list[Any]) -> None:
    """However DELE and RSET follow each other, what is left is what was not marked since."""
    sizes = [10, 20, 40, 80, 160]
    maildrop = Maildrop(sizes, list("abcde"))
    left = dict(enumerate(sizes, 1))
    for command in commands:
        outcome = maildrop.answer(command)
        number = getattr(command, "number", None)
        if isinstance(command, Rset):
            left = dict(enumerate(sizes, 1))
        elif isinstance(command, Stat):
            assert outcome == ok(f"{len(left)} {sum(left.values())}")
        elif number is None:
            assert isinstance(outcome, Listing)
            rows = b"".join(outcome.rows).decode()
            assert rows == "".join(f"{each} {size}\r\n" for each, size in left.items())
        elif number not in left:
            assert outcome == (NO_SUCH_MESSAGE if number > len(sizes) else MESSAGE_DELETED)
        elif isinstance(command, Retr):
            assert outcome == MessageWanted(ok(f"{left[number]} octets"), number)
        elif isinstance(command, Dele):
            assert isinstance(outcome, Reply)
            assert outcome.positive
            del left[number]
        assert maildrop.deleted == [n for n in range(1, 6) if n not in left]

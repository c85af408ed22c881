"""Clients that send letters again and again until each has its 250."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Sequence
from typing import BinaryIO

from crash_book import Book
from crash_letters import Letter


class Refused(Exception):
    """A negative reply; the session goes on."""


class Sender(threading.Thread):
    """One client of its own, with mailboxes of its own; ends a while after `finish`."""

    def __init__(self, book: Book, port: int, seed: int, client: int, domain: str) -> None:
        super().__init__(daemon=True, name=f"client {client}")
        self._book, self._port, self._domain = book, port, domain
        self._chance = random.Random(f"client {seed} {client}")
        self._letter = Letter(seed, client, 0)
        self._finishing = threading.Event()
        self._giving_up = threading.Event()
        self.pause = 0.05  # seconds between letters, at most

    def finish(self) -> None:
        """Bring the letter that is being sent to its end, and no other."""
        self._finishing.set()

    def give_up(self) -> None:
        self._finishing.set()
        self._giving_up.set()

    def run(self) -> None:
        while not self._giving_up.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self._port), 20) as wire:
                    if self._session(wire):
                        return
            except (OSError, EOFError) as wrong:
                with self._book.lock:
                    self._book.replies[type(wrong).__name__] += 1
            self._giving_up.wait(self._chance.uniform(0.02, 0.1))

    def _session(self, wire: socket.socket) -> bool:
        """Some letters over one connection; whether we are done."""
        wire.settimeout(60)
        with wire.makefile("rb") as replies:
            with contextlib.suppress(Refused):
                self._expect(replies, 220)
                self._ask(wire, replies, b"EHLO client.example", 250)
                for _ in range(self._chance.randint(1, 8)):
                    self._send(wire, replies)
                    if self._finishing.is_set():
                        return True
                    self._giving_up.wait(self._chance.uniform(0, self.pause))
                self._ask(wire, replies, b"QUIT", 221)
        return False

    def _send(self, wire: socket.socket, replies: BinaryIO) -> None:
        letter = self._letter
        recipients = self.recipients(letter)
        way = self._chance.choice((self._data, self._data, self._pipelined, self._chunks))
        try:
            self._letter = letter.next_attempt()
            way(wire, replies, letter, recipients)
        except Refused as refusal:
            with self._book.lock:
                self._book.uncertain.discard(letter.name)
            if str(refusal)[:1] == "5":
                self._book.fault(f"{letter.name} was refused for good: {refusal}")
            raise
        self._book.promise(letter, recipients)
        self._letter = Letter(letter.seed, letter.client, letter.number + 1)

    def recipients(self, letter: Letter) -> tuple[str, ...]:
        """One or two mailboxes."""
        boxes = (f"box{letter.client}", f"other{letter.client}")
        return tuple(f"{box}@{self._domain}" for box in boxes[: 1 + (letter.number % 4 == 0)])

    def _data(
        self, wire: socket.socket, replies: BinaryIO, letter: Letter, to: Sequence[str]
    ) -> None:
        for line in _envelope(to):
            self._ask(wire, replies, line, 250)
        self._ask(wire, replies, b"DATA", 354)
        self._content(wire, replies, letter)

    def _pipelined(
        self, wire: socket.socket, replies: BinaryIO, letter: Letter, to: Sequence[str]
    ) -> None:
        lines = [*_envelope(to), b"DATA"]
        wire.sendall(b"".join(line + b"\r\n" for line in lines))
        said = [_reply(replies) for _ in lines]
        self._count(said)
        if said[-1][0] != 354:
            raise Refused(next(text for code, text in said if code >= 400))
        if any(code >= 400 for code, _ in said):
            raise OSError("some recipients were refused: hanging up")
        self._content(wire, replies, letter)

    def _content(self, wire: socket.socket, replies: BinaryIO, letter: Letter) -> None:
        octets = letter.octets().replace(b"\r\n.", b"\r\n..") + b".\r\n"
        self._begun(letter)
        wire.sendall(octets)
        self._expect(replies, 250)

    def _chunks(
        self, wire: socket.socket, replies: BinaryIO, letter: Letter, to: Sequence[str]
    ) -> None:
        for line in _envelope(to):
            self._ask(wire, replies, line, 250)
        octets, size = letter.octets(), 300_000
        chunks = [octets[at : at + size] for at in range(0, len(octets), size)]
        for chunk in chunks[:-1]:
            wire.sendall(b"BDAT %d\r\n" % len(chunk) + chunk)
            self._expect(replies, 250)
        self._begun(letter)
        wire.sendall(b"BDAT %d LAST\r\n" % len(chunks[-1]) + chunks[-1])
        self._expect(replies, 250)

    def _begun(self, letter: Letter) -> None:
        with self._book.lock:
            self._book.uncertain.add(letter.name)

    def _ask(self, wire: socket.socket, replies: BinaryIO, line: bytes, code: int) -> None:
        wire.sendall(line + b"\r\n")
        self._expect(replies, code)

    def _expect(self, replies: BinaryIO, code: int) -> None:
        said = _reply(replies)
        self._count([said])
        if said[0] == 421:
            raise EOFError("421")
        if said[0] != code:
            raise Refused(said[1])

    def _count(self, said: Sequence[tuple[int, str]]) -> None:
        with self._book.lock:
            for code, text in said:
                if code >= 400:
                    self._book.replies[text[:9].rstrip()] += 1


def _envelope(to: Sequence[str]) -> list[bytes]:
    return [
        b"MAIL FROM:<sender@ours.example> BODY=8BITMIME",
        *(b"RCPT TO:<%b>" % recipient.encode() for recipient in to),
    ]


def _reply(replies: BinaryIO) -> tuple[int, str]:
    """The code and the last line of one reply. EOFError where the connection ends."""
    while True:
        line = replies.readline(4096)
        if not line.endswith(b"\r\n"):
            raise EOFError("the connection ended")
        if line[3:4] != b"-":
            return int(line[:3]), line.decode("utf-8", "replace").strip()

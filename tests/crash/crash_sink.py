"""A next hop that is strict about what it is sent, and unreliable on purpose."""

from __future__ import annotations

import random
import socketserver
import threading
import time
from typing import Any

from crash_book import Book

# What it does with a message, and how often of a hundred. Every one of them happens.
MOODS = {
    "take": 58,
    "defer MAIL": 4, "refuse MAIL": 2, "hang up at MAIL": 3,
    "defer RCPT": 4, "refuse RCPT": 2, "defer one RCPT": 3, "refuse one RCPT": 3,
    "defer DATA": 3, "hang up at DATA": 2,
    "hang up inside": 5, "defer content": 4, "refuse content": 3,
    "hang up before storing": 3, "hang up after storing": 2,
}  # fmt: skip
_REPLIES = {"defer": b"451 4.3.2 Not now", "refuse": b"554 5.7.0 Not that"}
_LONGEST = 1000  # octets of a line with its end, RFC 5321 section 4.5.3.1.6


class _HungUp(Exception):
    """We close the connection."""


class Sink(socketserver.ThreadingTCPServer):
    """Listens at once. `always` is its mood with every message; "": another each time."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 100

    def __init__(self, book: Book, seed: int = 0, always: str = "take") -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.book = book
        self.always = always
        self.met: dict[str, int] = {}
        self._chance = random.Random(f"sink {seed}")
        self._lock = threading.Lock()
        self.port = int(self.server_address[1])

    def __enter__(self) -> Sink:
        threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.shutdown()
        self.server_close()

    def mood(self) -> str:
        with self._lock:
            moods, weights = zip(*MOODS.items(), strict=True)
            mood = self.always or self._chance.choices(moods, weights)[0]
            self.met[mood] = self.met.get(mood, 0) + 1
            return str(mood)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer that was killed has hung up: no fault of the sink's."""


class _Session(socketserver.StreamRequestHandler):
    server: Sink
    timeout = 60

    def handle(self) -> None:
        self._from, self._to, self._mood = "", list[str](), ""
        try:
            self._say(b"220 sink.far.example ESMTP")
            while self._command():
                pass
        except (_HungUp, OSError):
            self.request.close()

    def _say(self, line: bytes) -> None:
        self.wfile.write(line + b"\r\n")

    def _line(self) -> bytes:
        line = self.rfile.readline(1 << 16)
        if not line.endswith(b"\n"):
            raise _HungUp  # the host was killed
        if not line.endswith(b"\r\n") or b"\r" in line[:-2] or b"\0" in line:
            self.server.book.fault(f"the next hop was sent a bare line end: {line[-60:]!r}")
        if len(line) > _LONGEST:
            self.server.book.fault(f"the next hop was sent a line of {len(line)} octets")
        return line

    def _command(self) -> bool:
        line = self._line()[:-2]
        verb, _, argument = line.partition(b" ")
        name = verb.decode("ascii", "replace").upper()
        if name in ("EHLO", "HELO"):
            self._reset()
            self._say(b"250-sink.far.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 0")
        elif name == "MAIL":
            self._mail(argument)
        elif name == "RCPT":
            self._rcpt(argument)
        elif name == "DATA":
            self._data()
        elif name in ("RSET", "NOOP"):
            if name == "RSET":
                self._reset()
            self._say(b"250 OK")
        elif name == "QUIT":
            self._say(b"221 Bye")
            return False
        else:
            self.server.book.fault(f"the next hop was sent {line[:80]!r}")
            self._say(b"500 5.5.1 What?")
        return True

    def _reset(self) -> None:
        self._from, self._to, self._mood = "", [], ""

    def _refused(self, where: str) -> bool:
        """Do what the mood says for here; whether the command is refused."""
        if self._mood == f"hang up at {where}":
            raise _HungUp
        verb = self._mood.removesuffix(f" {where}")
        if verb in _REPLIES:
            self._say(_REPLIES[verb])
            return True
        return False

    def _mail(self, argument: bytes) -> None:
        if self._from:
            self.server.book.fault("the next hop was sent MAIL inside a transaction")
        self._mood = self.server.mood()
        if not self._refused("MAIL"):
            self._from = argument.decode()
            self._say(b"250 2.1.0 OK")

    def _rcpt(self, argument: bytes) -> None:
        if not self._from:
            self._say(b"503 5.5.1 MAIL first")
        elif not (self._refused("RCPT") or (b"<other" in argument and self._refused("one RCPT"))):
            self._to.append(argument.decode().partition("<")[2].partition(">")[0])
            self._say(b"250 2.1.5 OK")

    def _data(self) -> None:
        if not self._to:
            self._say(b"554 5.5.1 No valid recipients")
            return
        if self._refused("DATA"):
            self._reset()
            return
        self._say(b"354 Go on")
        octets = self._content()
        if self._mood == "hang up before storing":
            raise _HungUp
        if not self._refused("content"):
            self._store(octets, self._mood != "hang up after storing")
        self._reset()

    def _content(self) -> bytes:
        lines = list[bytes]()
        while (line := self._line()) != b".\r\n":
            lines.append(line[1:] if line.startswith(b".") else line)
            if self._mood == "hang up inside" and len(lines) > 20:
                raise _HungUp
        return b"".join(lines)

    def _store(self, octets: bytes, answer: bool) -> None:
        """Into the book, which outlives the host; our 250 is worth that much."""
        when = time.time()
        if answer:
            try:
                self._say(b"250 2.0.0 Stored")
            except OSError:
                answer = False
        for recipient in self._to:
            self.server.book.arrived(octets, recipient, when, answer)
        if not answer:
            raise _HungUp

"""An independent, simple reading of the client's octets: what a server may answer to them.

It is fed the same octets and hears the same replies, and says at any time whether the server
owes one. It shares no code with mailframe. A session that the server answers in a way that is
not allowed raises Broken.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from enum import Enum

from fuzz_replies import Broken, Reply
from fuzz_rules import (
    AUTH_LINE,
    COMMANDS,
    ERRORS,
    LINE,
    MESSAGE_SIZE,
    OURS,
    RECIPIENTS,
    USERS,
    as_compared,
    decoded,
    good_plain,
    is_text,
    kept,
    too_much,
)

_BDAT = re.compile(rb"BDAT ([0-9]{1,20})( +LAST)?[ \t]*", re.I)
_PLAIN_MAIL = re.compile(rb"MAIL FROM:<[a-z0-9.]+@client\.example>")
_PLAIN_RCPT = re.compile(rb"RCPT TO:<([a-z0-9]+)@example\.org>")
_SIMPLE_PATH = re.compile(rb"RCPT TO: ?<([a-z0-9.+]+@[a-z0-9.-]+)>.*", re.I | re.S)
_HELLO = re.compile(rb"(EHLO|HELO|LHLO) [a-z0-9.-]{1,200}")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_MAYBE_BDAT = re.compile(rb"BDAT(?![!-~])", re.I)
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")
_QUEUED = re.compile(rb"OK, queued as ([0-9A-Z]{16})")


class Awaits(Enum):
    """What the conversation cannot go on without."""

    OCTETS = "octets from the client"
    REPLY = "a reply of the server"
    TLS = "the TLS handshake"
    END = "the end of the connection"


@dataclass
class Sent:
    """A message as it is to be stored; `recipients` only those of plain spelling."""

    recipients: frozenset[bytes]
    accepted: int
    content: bytes
    user: bool


Run = Generator[Awaits, None, None]


@dataclass
class Model:
    """One session. `acknowledged` are the messages by the id that the server gave them."""

    lmtp: bool = False
    secure: bool = False
    awaits: Awaits = Awaits.REPLY
    acknowledged: dict[str, Sent] = field(default_factory=dict)
    unheard: Sent | None = None  # its end was sent; the answer is not known
    refusals: int = 0
    commands: int = 0
    injected: bool = False  # octets followed STARTTLS in the clear

    def __post_init__(self) -> None:
        self._buffer = bytearray()
        self._replies: deque[Reply] = deque()
        self._fresh = False
        self._begin()
        self._run = self._conversation()
        self._pump(first=True)

    def _begin(self) -> None:
        self.hello = self.user = False
        self._end_transaction()

    def _end_transaction(self) -> None:
        self.mail = self.binary = self.chunks = self.failed = False
        self.paths: list[bytes] = []
        self.content = b""

    # What the driver calls.

    def sent(self, octets: bytes) -> None:
        """The client sends this."""
        self._buffer += octets
        self._fresh = True
        self._pump()

    def heard(self, reply: Reply) -> None:
        """The server says this."""
        self._replies.append(reply)
        self._pump()
        if self._replies and self.awaits is Awaits.OCTETS:
            self._unasked(self._replies.popleft())
        elif self._replies and self.awaits is not Awaits.REPLY:
            raise Broken(f"a reply after the last one: {reply}")

    def secured(self) -> None:
        """The TLS handshake is done: all is forgotten."""
        self._buffer.clear()
        self.secure = True
        self._begin()
        self.awaits = Awaits.OCTETS
        self._run = self._commands()
        self._pump(first=True)

    @property
    def may_hang_up(self) -> bool:
        """Whether the last word may be lost: the server closed on a client that still sent."""
        pending = self._buffer.count(b"\n")
        return (
            self.awaits in (Awaits.END, Awaits.TLS)
            or self.refusals + pending >= ERRORS
            or self.commands + pending >= COMMANDS
            or b"QUIT" in self._buffer.upper()
            or b"BDAT" in self._buffer.upper()
            or _BARE_LF.search(self._buffer) is not None
        )

    def _pump(self, first: bool = False) -> None:
        while first or self._can_go_on():
            first = False
            self._fresh = False
            self.awaits = next(self._run, Awaits.END)

    def _can_go_on(self) -> bool:
        if self.awaits is Awaits.REPLY:
            return bool(self._replies)
        return self.awaits is Awaits.OCTETS and self._fresh

    def _unasked(self, reply: Reply) -> None:
        if reply.code != 421:
            raise Broken(f"a reply that nothing asked for: {reply}")
        self._finish()

    def _finish(self) -> None:
        self.awaits = Awaits.END
        self._run = iter(())  # type: ignore[assignment]

    # The conversation.

    def _reply(self) -> Generator[Awaits, None, Reply]:
        while not self._replies:
            yield Awaits.REPLY
        reply = self._replies.popleft()
        if reply.code >= 400:
            self.refusals += 1
        return reply

    def _conversation(self) -> Run:
        greeting = yield from self._reply()
        if greeting.code == 421:
            return
        if greeting.code != 220:
            raise Broken(f"no greeting: {greeting}")
        yield from self._commands()

    def _commands(self) -> Run:
        while True:
            line = yield from self._line(LINE)
            if line is not None and b"\n" in line:
                return (yield from self._out_of_step(500, line))
            if line is None and _MAYBE_BDAT.match(self._buffer):
                return (yield from self._out_of_step(500, b"BDAT"))
            if line is None:
                reply = yield from self._reply()
                if reply.code == 421:
                    return
                if reply.code != 500:
                    raise Broken(f"{reply} to an over-long line")
                yield from self._skip()
                continue
            over = yield from self._command(line)
            if over:
                return

    def _line(self, limit: int) -> Generator[Awaits, None, bytes | None]:
        """A line without its CRLF, None where it is over-long; up to a bare LF, that included."""
        while True:
            end = self._buffer.find(b"\r\n", 0, limit)
            bare = _BARE_LF.search(self._buffer, 0, limit)
            if bare and (end < 0 or bare.start() < end):
                return bytes(self._buffer[: bare.end()])
            if end >= 0:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 2]
                return line
            if limit == LINE and self._buffer[:5].upper() == b"AUTH ":
                limit = AUTH_LINE
                continue
            if len(self._buffer) >= limit:
                return None
            yield Awaits.OCTETS

    def _out_of_step(self, code: int, line: bytes) -> Run:
        """After these nothing may be read: client and server might not agree on where it begins."""
        reply = yield from self._reply()
        if reply.code == 421:
            return
        if reply.code != code:
            raise Broken(f"{reply} to {line!r}")
        last = yield from self._reply()
        if last.code != 421:
            raise Broken(f"{last} and not a last word after {line!r}")

    def _skip(self) -> Run:
        while (end := self._buffer.find(b"\r\n")) < 0:
            del self._buffer[: max(0, len(self._buffer) - 1)]
            yield Awaits.OCTETS
        del self._buffer[: end + 2]

    def _command(self, line: bytes) -> Generator[Awaits, None, bool]:
        """One command and its replies; True where the connection ends."""
        verb = line.split(b" ")[0].upper().rstrip(b" \t")
        chunk = _BDAT.fullmatch(line) if is_text(line) else None
        if chunk is not None:
            return (yield from self._bdat(int(chunk[1]), chunk[2] is not None))
        if _MAYBE_BDAT.match(line):
            yield from self._out_of_step(501 if is_text(line) else 500, line)
            return True
        reply = yield from self._reply()
        self._judge(verb, line, reply)
        if reply.code in (421, 221):
            if reply.code == 221 and verb != b"QUIT":
                raise Broken(f"{reply} to {line!r}")
            return True
        if reply.code == 354:
            return (yield from self._data())
        if reply.code == 334:
            return (yield from self._auth(line, reply))
        if reply.code == 220:
            self.injected = bool(self._buffer)
            self._buffer.clear()
            yield Awaits.TLS
        self._note(verb, line, reply)
        return False

    def _judge(self, verb: bytes, line: bytes, reply: Reply) -> None:
        """Whether `reply` may answer `line` here."""
        if reply.code == 421:
            return
        allowed = {
            354: verb == b"DATA" and bool(self.paths) and not (self.chunks or self.binary),
            334: verb == b"AUTH" and self.hello and self.secure and not (self.user or self.mail),
            235: verb == b"AUTH" and self.hello and self.secure and not (self.user or self.mail),
            220: verb == b"STARTTLS" and self.hello and not (self.secure or self.mail),
        }
        if not allowed.get(reply.code, True):
            raise Broken(f"{reply} to {line!r}, which is out of order")
        if reply.code == 235 and not good_plain(line.rstrip(b" \t").split(b" ")[-1]):
            raise Broken(f"{reply} to a wrong password: {line!r}")
        if reply.code == 250 and verb == b"MAIL" and (not self.hello or self._open):
            raise Broken(f"{reply} to MAIL out of order")
        if reply.code == 250 and verb == b"RCPT":
            self._judge_recipient(line, reply)
        if reply.code >= 400 and self._must_accept(line):
            raise Broken(f"{reply} to {line!r}, which is as it should be")

    @property
    def _open(self) -> bool:
        return self.mail and not self.failed

    def _judge_recipient(self, line: bytes, reply: Reply) -> None:
        if not self._open or self.chunks:
            raise Broken(f"{reply} to RCPT out of order")
        path = _SIMPLE_PATH.fullmatch(line)
        if path and not self.user and as_compared(path[1]).rpartition(b"@")[2] != OURS:
            raise Broken(f"an open relay: {reply} to {line!r}")
        if len(set(self.paths) - {b""}) >= RECIPIENTS:
            raise Broken("too many recipients were accepted")

    def _must_accept(self, line: bytes) -> bool:
        """Plain commands in their place."""
        if line in (b"NOOP", b"RSET"):
            return True
        hello = _HELLO.fullmatch(line)
        if hello:
            return (hello[1] == b"LHLO") is self.lmtp
        if _PLAIN_MAIL.fullmatch(line):
            return self.hello and not self._open
        if _PLAIN_RCPT.fullmatch(line):
            return self._open and not self.chunks and len(self.paths) < RECIPIENTS
        return (
            line == b"DATA" and bool(self.paths) and not (self.chunks or self.binary or self.failed)
        )

    def _note(self, verb: bytes, line: bytes, reply: Reply) -> None:
        """What a positive reply changes."""
        if verb in (b"EHLO", b"HELO", b"LHLO", b"NOOP", b"RSET", b"VRFY", b"EXPN", b"HELP"):
            self.commands += 1
        if reply.code == 235:
            self.user = True
        if reply.code != 250:
            return
        if verb in (b"EHLO", b"HELO", b"LHLO"):
            self.hello = True
            self._end_transaction()
        elif verb == b"RSET":
            self._end_transaction()
        elif verb == b"MAIL":
            self._end_transaction()
            self.mail = True
            self.binary = b"BODY=BINARYMIME" in line.upper()
        elif verb == b"RCPT":
            path = _SIMPLE_PATH.fullmatch(line)
            self.paths.append(as_compared(path[1]) if path else b"")

    def _data(self) -> Generator[Awaits, None, bool]:
        at = 0
        while True:
            text = b"\r\n" + self._buffer
            end = text.find(b"\r\n.\r\n", max(0, at - 8))
            if end >= 0:
                break
            at = len(text)
            yield Awaits.OCTETS
        del self._buffer[: end + 3]
        raw = text[2 : end + 2]
        lines = [row.removeprefix(b".") for row in raw.split(b"\r\n")]
        content = b"\r\n".join(lines)
        return (yield from self._end(content, bool(_BARE.search(raw)), last=True))

    def _bdat(self, size: int, last: bool) -> Generator[Awaits, None, bool]:
        while len(self._buffer) < size:
            yield Awaits.OCTETS
        octets = bytes(self._buffer[:size])
        del self._buffer[:size]
        if not self.paths or self.failed:
            due = len(self.paths) if self.lmtp and last and self.failed else 1
            for _ in range(due):
                reply = yield from self._reply()
                if reply.positive:
                    raise Broken(f"{reply} to BDAT out of order")
                if reply.code == 421:
                    return True
            return False
        self.chunks = True
        self.content += octets
        whole = self.content if last else self.content.removesuffix(b"\r")
        wrong = not self.binary and bool(_BARE.search(whole))
        return (yield from self._end(self.content, wrong, last))

    def _end(self, content: bytes, wrong: bool, last: bool) -> Generator[Awaits, None, bool]:
        """The replies to content; `wrong` where its line ends are."""
        paths = frozenset(self.paths) - {b""}
        message = Sent(paths, len(self.paths), kept(content), self.user)
        if last:
            self.unheard = message
        due = len(self.paths) if self.lmtp and last else 1
        for _ in range(due):
            reply = yield from self._reply()
            if reply.code == 421:
                self.unheard = None
                return True
            self._judge_content(content, wrong, last, reply)
            if last and reply.positive:
                self._acknowledge(reply, message)
        self.unheard = None
        if last:
            self._end_transaction()
        elif not reply.positive:
            self.failed = True
        return False

    def _judge_content(self, content: bytes, wrong: bool, last: bool, reply: Reply) -> None:
        if reply.positive and wrong:
            raise Broken(f"{reply} to content with bare CR, bare LF or NUL")
        if reply.positive and len(content) > MESSAGE_SIZE:
            raise Broken(f"{reply} to {len(content)} octets")
        if reply.positive and reply.code != 250:
            raise Broken(f"{reply} to content")
        if not reply.positive and not (wrong or too_much(content)):
            raise Broken(f"{reply} to content that is as it should be (last: {last})")

    def _acknowledge(self, reply: Reply, message: Sent) -> None:
        found = _QUEUED.fullmatch(reply.lines[0])
        if found is None:
            raise Broken(f"an accepted message without an id: {reply}")
        id = found[1].decode()
        if id in self.acknowledged and not self.lmtp:
            raise Broken(f"two messages of one id: {id}")
        self.acknowledged[id] = message
        self.refusals = self.commands = 0

    def _auth(self, line: bytes, reply: Reply) -> Generator[Awaits, None, bool]:
        """The exchange after a 334, until another reply."""
        said: list[bytes] = []
        while reply.code == 334:
            answer = yield from self._line(AUTH_LINE)
            if answer is not None and b"\n" in answer:
                yield from self._out_of_step(500, answer)
                return True
            if answer is None and _MAYBE_BDAT.match(self._buffer):
                yield from self._out_of_step(500, b"BDAT")
                return True
            said.append(answer or b"")
            reply = yield from self._reply()
            if answer is None and reply.code != 421:
                yield from self._skip()
        if reply.code == 421:
            return True
        if reply.positive and reply.code != 235:
            raise Broken(f"{reply} to an AUTH exchange")
        if reply.code == 235:
            initial = line.split(b" ")[2:]
            login = [decoded(each) for each in (*initial, *said)]
            known = login in [[name, word] for name, word in USERS.items()]
            if not (known or good_plain(said[-1])):
                raise Broken(f"{reply} to wrong credentials {said!r}")
            self.user = True
        return False

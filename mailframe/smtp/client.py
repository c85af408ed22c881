"""The client's side of the dialogue, SMTP (RFC 5321) and LMTP (RFC 2033).

Commands go in and octets come out; octets go in and replies come out, in order, each with the
command that it answers. The dialogue knows which reply belongs to which command, and what the
server can do. The caller decides what to say next.

    dialogue.send(Mail(...), Rcpt(...), Rcpt(...), Data())   # pipelined, where allowed
    dialogue.receive_data(octets)
    dialogue.next_event()        # Replied(Mail(...), Reply(250, ...)), and so on

After the 354 the caller sends the content (see `transparency.Dotter`), and then
`send(ContentEnd())`. One reply follows; in LMTP one for each recipient that was accepted. The
octets of a BDAT follow its command at once, and `send(ContentEnd(last=...))` says that they have
been sent.
"""

from __future__ import annotations

from base64 import b64encode
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from .address import Mailbox
from .command import (
    Auth,
    Bdat,
    Command,
    Data,
    Ehlo,
    Helo,
    Lhlo,
    Mail,
    Rcpt,
    Rset,
    StartTls,
    Xclient,
)
from .event import AuthLine, ContentEnd
from .extensions import Extensions, read_extensions
from .grammar import ReplyLine, parse_reply_line, write_command
from .reply import Reply

MAX_LINE = 4096  # octets of a reply line; RFC 5321 allows 512, but some servers send more
MAX_LINES = 200  # lines of one reply
MAX_REPLY = 1 << 16  # characters of one reply
MAX_TEXT = 2000  # characters of a reply's text that are kept
_SHORT = 100  # octets; longer lines are not remembered
_HELLOS = frozenset({Ehlo, Lhlo})
_NOTED = frozenset({Mail, Rcpt, Rset, Ehlo, Helo, Lhlo, StartTls, Xclient})
_LOGINS = frozenset({Auth, AuthLine})


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the server's first reply answers: the connection itself."""


Saying: TypeAlias = Command | AuthLine | ContentEnd
Awaited: TypeAlias = Greeting | Saying


class Spelled(NamedTuple):
    """Something to say, together with its octets, so that they need not be made again."""

    saying: Saying
    octets: bytes


class Replied(NamedTuple):
    """A reply and what it answers.

    `recipient` is the recipient that it is about, after RCPT and at the end of an LMTP message.
    """

    to: Awaited
    reply: Reply
    recipient: Mailbox | None = None


@dataclass(frozen=True, slots=True)
class Unasked:
    """A reply that answers nothing, usually a 421. The connection cannot be used any more."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Garbled:
    """The server sends something that is not SMTP; `why` describes it. Nothing is read after it."""

    why: str


Heard: TypeAlias = Replied | Unasked | Garbled


class ClientDialogue:
    """One connection's dialogue, from the greeting on.

    `extensions` are the server's. They are known after EHLO or LHLO, and unknown again after TLS
    has begun or XCLIENT was accepted. `over` is True once no more replies are read: after 221, 421
    and garbage.
    """

    def __init__(self, *, lmtp: bool = False) -> None:
        self.lmtp = lmtp
        self.extensions = Extensions()
        self.over = False
        self._buffer = b""
        self._lines: list[ReplyLine] = []  # of a reply whose last line has not come yet
        self._said = 0  # characters of those lines
        self._awaited: deque[tuple[Awaited, Mailbox | None]] = deque([(Greeting(), None)])
        self._accepted: list[Mailbox] = []
        self._heard: deque[Heard] = deque()
        self._deaf = False  # between the 220 to STARTTLS and TLS

    @property
    def owed(self) -> int:
        """How many replies the server still has to send."""
        return len(self._awaited)

    def send(self, *sayings: Saying | Spelled) -> bytes:
        """The octets that say this.

        If grammar.Unwritable is raised, no reply is expected for any of it.
        """
        lines = [each if isinstance(each, Spelled) else spell(each) for each in sayings]
        for saying, _ in lines:
            if isinstance(saying, Rcpt):
                self._awaited.append((saying, saying.recipient))
            elif self.lmtp and isinstance(saying, ContentEnd) and saying.last:
                # RFC 2033 section 4.2: one reply for each recipient that was accepted.
                self._awaited.extend((saying, recipient) for recipient in self._accepted)
            elif not isinstance(saying, Bdat):  # its octets are answered, not the command itself
                self._awaited.append((saying, None))
        return b"".join([octets for _, octets in lines])

    def receive_data(self, octets: bytes) -> None:
        """Take octets from the server."""
        if self.over or self._deaf:
            return
        self._buffer += octets
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            self._line(line)
            if self.over or self._deaf:
                # RFC 3207 section 4.2: forget what came without TLS after the 220.
                self._buffer = b""
                return
        if len(self._buffer) > MAX_LINE:
            self._give_up("an endless reply line")

    def next_event(self) -> Heard | None:
        """The next event; None if more octets are needed."""
        return self._heard.popleft() if self._heard else None

    def tls_started(self) -> None:
        """TLS has begun: the server's extensions are unknown again (RFC 3207 section 4.2)."""
        self._deaf = False
        self._buffer = b""
        self.extensions = Extensions()

    def _line(self, octets: bytes) -> None:
        if len(octets) > MAX_LINE:
            return self._give_up("an endless reply line")
        try:
            line, reply = _read_short(octets) if len(octets) <= _SHORT else _read(octets)
        except ValueError:
            return self._give_up("a line that is no SMTP reply")
        if line.last and not self._lines:
            return self._reply(reply, (line,))
        if self._lines and line.code != self._lines[0].code:
            return self._give_up("a reply with several codes")
        self._lines.append(line)
        if line.last:
            lines, self._lines, self._said = self._lines, [], 0
            return self._reply(_as_reply(lines), lines)
        self._said += len(line.text)
        if len(self._lines) >= MAX_LINES or self._said > MAX_REPLY:
            return self._give_up("a reply without end")
        return None

    def _reply(self, reply: Reply, lines: Sequence[ReplyLine]) -> None:
        if not self._awaited:
            self.over = True
            self._heard.append(Unasked(reply))
        elif reply.code == 421:
            # RFC 5321 section 3.8: the channel closes, so this answers everything that was asked.
            self.over = True
            self._heard.extend(Replied(to, reply, of) for to, of in self._awaited)
            self._awaited.clear()
        elif not _fits(self._awaited[0][0], reply.code):
            self._give_up(f"{reply.code} where it means nothing")
        else:
            to, recipient = self._awaited.popleft()
            if type(to) in _NOTED or reply.code == 221:
                self._note(to, reply, lines)
            self._heard.append(Replied(to, reply, recipient))

    def _note(self, to: Awaited, reply: Reply, lines: Sequence[ReplyLine]) -> None:
        """Take note of what a reply changes."""
        if isinstance(to, Rcpt):
            if reply.positive:
                self._accepted.append(to.recipient)
        else:
            self._accepted = []
        if reply.code == 221:
            self.over = True
        elif isinstance(to, StartTls) and reply.positive:
            self._deaf = True
        elif isinstance(to, Xclient) and reply.positive:
            # The server now talks to another client, to which it may offer something else.
            self.extensions = Extensions()
        elif type(to) in _HELLOS and reply.positive:
            self.extensions = read_extensions(_plain(line) for line in lines)

    def _give_up(self, why: str) -> None:
        self.over = True
        self._buffer = b""
        self._heard.append(Garbled(why))


def spell(saying: Saying) -> Spelled:
    """Something to say with its octets. Raises grammar.Unwritable."""
    if isinstance(saying, ContentEnd):
        return Spelled(saying, b"")
    if isinstance(saying, AuthLine):
        return Spelled(saying, b64encode(saying.response) + b"\r\n")
    return Spelled(saying, write_command(saying))


def _fits(to: Awaited, code: int) -> bool:
    """True if this command can have such a reply (RFC 5321 section 4.3.2)."""
    if code >= 400:
        return True
    if isinstance(to, Data):
        return code == 354
    return code < 300 or (code == 334 and type(to) in _LOGINS)


def _read(octets: bytes) -> tuple[ReplyLine, Reply]:
    """A line, and the reply that it makes alone. ValueError if it is no line of a reply."""
    line = parse_reply_line(octets.removesuffix(b"\r"))
    return line, _as_reply([line])


#: Servers send the same few texts again and again.
_read_short = lru_cache(maxsize=512)(_read)


def _plain(line: ReplyLine) -> str:
    """The text as it came, including an extension's name that looks like a status."""
    return f"{line.status} {line.text}" if line.status else line.text


def _as_reply(lines: list[ReplyLine]) -> Reply:
    """The lines as one Reply; x.0.0 if the server gave no enhanced status (RFC 3463)."""
    code, status = lines[0].code, lines[0].status
    text = "\n".join(line.text for line in lines)[:MAX_TEXT]
    if 300 <= code < 400:
        return Reply(code, text)
    return Reply(code, text, status or f"{code // 100}.0.0")

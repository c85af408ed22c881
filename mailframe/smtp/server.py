"""The server's side of SMTP and LMTP: octets in, events out; replies in, octets out.

RFC 5321 with PIPELINING (RFC 2920), SIZE (1870), 8BITMIME (6152), CHUNKING and BINARYMIME (3030),
SMTPUTF8 (6531), DSN (3461), ENHANCEDSTATUSCODES (2034), STARTTLS (3207), AUTH (4954) and LIMITS
(9422), and LMTP (2033) with the same code. `event.py` says what a session must do with each event;
`order.py` says which command may follow which.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .command import Auth, Bdat, Command, Data, Ehlo, Helo, Lhlo, Mail, Rcpt, StartTls, Xclient
from .content import ChunkedContent, DottedContent
from .event import AuthLine, ContentEnd, ContentOctets, Event, Rejected
from .grammar import BAD_BASE64, decode_base64, parse_command
from .inbox import Inbox
from .leniency import read_leniently
from .offer import NO_OFFER, Offer, greeting, hello, helo, helps
from .order import ORDER, REFUSED, State
from .refusals import AUTH_CANCELLED, Offences, refusal
from .reply import BARE_LF, LINE_TOO_LONG, UNKNOWN_COMMAND, Reply

MAX_COMMAND_LINE = 2048  # octets with CRLF; RFC 5321 section 4.5.3.1.4 and its extensions
MAX_AUTH_LINE = 12288  # octets with CRLF; RFC 4954 section 4

# Anything that may be meant as BDAT: no octet follows that would make it another word.
_BDAT = re.compile(rb"BDAT(?![!-~])", re.IGNORECASE)
_XCLIENT = re.compile(rb"XCLIENT(?![!-~])", re.IGNORECASE)
_HEAD = 512  # octets at the front of an overlong line that are looked at


class ServerDialogue:
    """The dialogue of one session. It gives the next event only when the last one has been
    answered.

    `offer` may be replaced at any time. `state` is read-only for others; in SECURING, and in no
    other state, TLS begins and `tls_started` must be called next. With `lmtp`, LHLO replaces HELO
    and EHLO, and the content is answered once for each accepted recipient. With `strict`, only
    commands that RFC 5321 allows are accepted, otherwise also those of `leniency`. With
    `normalize`, a bare LF also ends a line, and becomes CRLF in text; still only CRLF dot CRLF ends
    the data.
    """

    __slots__ = (
        "_accepted",
        "_content",
        "_end",
        "_hostname",
        "_inbox",
        "_normalize",
        "_offences",
        "_owed",
        "_refused_chunk",
        "_replies_due",
        "_skip",
        "_strict",
        "authenticated",
        "lmtp",
        "mail",
        "offer",
        "state",
    )

    def __init__(
        self,
        hostname: str,
        offer: Offer = NO_OFFER,
        *,
        lmtp: bool = False,
        strict: bool = False,
        normalize: bool = False,
    ) -> None:
        self._hostname = hostname
        self._strict, self._normalize = strict, normalize
        self.lmtp = lmtp
        self._inbox = Inbox(bare_lf=normalize)
        self.offer = offer
        self._begin()

    def _begin(self) -> None:
        self.state = State.START
        self.authenticated = False
        self._inbox.clear()
        self.mail = _NO_MAIL
        self._accepted = 0
        self._content: DottedContent | ChunkedContent = _NO_CONTENT
        self._end: ContentEnd | None = None
        self._owed: Event | None = None
        self._replies_due = 1
        self._refused_chunk: Rejected | None = None
        self._skip = 0
        self._offences = Offences()

    @property
    def buffered(self) -> int:
        """Octets that were received and are not part of an event yet."""
        return len(self._inbox)

    @property
    def owes_answer(self) -> bool:
        """True while the last event waits for `send`."""
        return self._owed is not None

    @property
    def in_content(self) -> bool:
        """True from a 354 or a BDAT until the session has answered the end of the content."""
        return self.state in _IN_CONTENT or self._refused_chunk is not None

    @property
    def transaction_open(self) -> bool:
        """True from an accepted MAIL until the transaction ends, in whatever way."""
        return self.state in _IN_TRANSACTION

    def greeting(self) -> Reply:
        """The 220 that opens the session."""
        return greeting(self._hostname, self.lmtp)

    def hello_reply(self, command: Helo | Ehlo | Lhlo) -> Reply:
        """The 250 to this hello, with a line for each extension that is offered."""
        if type(command) is Helo:
            return helo(self._hostname)
        return hello(self._hostname, self.offer)

    def help_reply(self) -> Reply:
        """The 214: which commands there are now."""
        return helps(self.offer, self.lmtp)

    def receive_data(self, octets: bytes) -> None:
        """Take octets from the client.

        They are dropped if the dialogue is closed or waits for TLS.
        """
        if octets and self.state is not State.CLOSED and self.state is not State.SECURING:
            self._inbox.put(octets)

    def next_event(self) -> Event | None:
        """The next event; None if more octets are needed or an answer is due."""
        if self._owed is not None:
            return None
        event: Event | None
        if self._end is not None:
            event, self._end = self._end, None
        elif self._refused_chunk is not None:
            event = self._read_refused_chunk()
        else:
            read = _READ.get(self.state)
            if read is not None:
                event = read(self)
            elif self._inbox.empty:
                return None
            else:
                event = self._read_command()
        kind = type(event)
        if kind is not ContentOctets and kind is not Bdat:
            self._owed = event
            if self.lmtp and isinstance(event, ContentEnd) and event.last:
                self._replies_due = self._accepted
        return event

    def send(self, *replies: Reply) -> bytes:
        """The octets that answer the event that waits; moves the state.

        Give one reply, or in LMTP after the content one for each accepted recipient, in their
        order; a single reply there is repeated for each of them. A 421 may be sent at any time, and
        after the reply to the last Rejected. Raises ValueError if no event waits, or if the number
        of replies is wrong.
        """
        reply, event = replies[0], self._owed
        code = reply.code
        is_last = code >= 400 and isinstance(event, Rejected) and event.last
        if is_last or code == 421 or code == 221:
            self._owed = None
            self._inbox.clear()
            self.state = State.CLOSED
            return b"".join([each.to_bytes() for each in (replies if is_last else replies[:1])])
        if event is None:
            raise ValueError(f"no event waits for the answer {reply}")
        due = self._replies_due
        if len(replies) != due:
            if len(replies) != 1:
                raise ValueError(f"{len(replies)} replies where {due} are due")
            replies *= due
        kind = type(event)
        if kind is ContentEnd or kind is Rejected:
            refused = event.refusal if isinstance(event, ContentEnd) else True
            if refused and any(each.positive for each in replies):
                raise ValueError(f"a positive answer to what was refused: {event}")
        self._move(event, reply)
        self._owed = None
        self._replies_due = 1
        if due == 1:
            return reply.to_bytes()
        return b"".join([each.to_bytes() for each in replies])

    def tls_started(self) -> None:
        """TLS has begun: everything is forgotten, and hello is next (RFC 3207 section 4.2)."""
        self._begin()

    def _move(self, event: Event, reply: Reply) -> None:
        """Move the state after `reply` to `event`, and do what the move includes."""
        kind, state, code = type(event), self.state, reply.code
        if code >= 400:
            row = REFUSED.get(state)
            if row is not None:
                self.state = row.get(kind, state)
            return
        if (code == 354) is not (kind is Data) or (code == 334) > (kind in _AUTH_EVENTS):
            raise ValueError(f"{reply} is no answer to {kind.__name__}")
        if code == 334:
            self.state = State.AUTHENTICATING
            return
        self.state = ORDER[state].get(kind, state)
        if kind is Rcpt:
            self._accepted += 1
        elif kind is Mail:
            assert isinstance(event, Mail)
            self.mail, self._accepted = event, 0
        elif kind is Data:
            self._content = DottedContent(self.offer.size, normalize=self._normalize)
        elif kind in _AUTH_EVENTS:
            self.authenticated = True
        elif kind is Xclient:
            # The session of another client begins; the user who had logged in is not its user.
            self.authenticated = False
        elif kind is StartTls:
            # RFC 3207 section 4.2: forget what came without TLS.
            self._inbox.clear()

    def _read_command(self) -> Event | None:
        line = self._inbox.line(MAX_COMMAND_LINE)
        if line is None:
            limit = MAX_COMMAND_LINE
            if len(self._inbox) >= limit and self._inbox.head(5).upper() == b"AUTH ":
                limit = MAX_AUTH_LINE
                line = self._inbox.line(limit)
            if line is None:
                return self._unfinished(limit)
        command = parse_command(line)
        if isinstance(command, Reply) and not self._strict:
            command = read_leniently(line, command)
        if isinstance(command, Reply):
            return self._unreadable(command, line)
        refused = refusal(self, command)
        if refused is not None:
            return self._reject(command, refused, line)
        kind = type(command)
        if kind is Bdat:
            assert isinstance(command, Bdat)
            self._begin_chunk(command)
        self._offences.hides = kind is Auth
        return command

    def _unfinished(self, limit: int) -> Rejected | None:
        """Handle a line that has no end within `limit` octets, or none yet."""
        before = self._inbox.before_bare_lf(limit)
        if before is not None:
            return self._offences.rejected(BARE_LF, before, last=True)
        return self._overlong() if len(self._inbox) >= limit else None

    def _unreadable(self, refused: Reply, line: bytes) -> Event | None:
        """Handle a line that is no command.

        If what follows may not be a command either, this is the last line that is read.
        """
        before, lf, _ = line.partition(b"\n")
        if lf:
            # RFC 5321 section 2.3.8. A relay before us may have read two lines in it.
            return self._offences.rejected(BARE_LF, before, last=True)
        if self.offer.xclient is None and _XCLIENT.match(line):
            refused = UNKNOWN_COMMAND
        # RFC 3030 section 2: without a size, the octets of the chunk would be read as commands.
        return self._offences.rejected(refused, line, last=_BDAT.match(line) is not None)

    def _reject(self, command: Command, refused: Reply, line: bytes) -> Event | None:
        rejected = self._offences.rejected(refused, line)
        if not isinstance(command, Bdat):
            return rejected
        # RFC 3030 section 2: read the octets of a refused chunk too, or they would be read as
        # commands.
        self._refused_chunk, self._skip = rejected, command.size
        if self.lmtp and command.last and self.state is State.FAILED:
            self._replies_due = self._accepted
        return self._read_refused_chunk()

    def _overlong(self) -> Rejected:
        head = self._inbox.head(_HEAD)
        self._inbox.skip_line()
        return self._offences.rejected(LINE_TOO_LONG, head, last=_BDAT.match(head) is not None)

    def _read_refused_chunk(self) -> Rejected | None:
        self._skip -= len(self._inbox.take(self._skip))
        if self._skip:
            return None
        rejected, self._refused_chunk = self._refused_chunk, None
        return rejected

    def _begin_chunk(self, command: Bdat) -> None:
        content = self._content
        if self.state is State.RECIPIENTS or not isinstance(content, ChunkedContent):
            binary = self.mail.body == "BINARYMIME"
            self._content = content = ChunkedContent(
                self.offer.size, binary=binary, normalize=self._normalize
            )
        content.begin(command.size, command.last)
        self.state = State.LAST_CHUNK if command.last else ORDER[self.state][Bdat]

    def _read_content(self) -> Event | None:
        content, self._end = self._content.read(self._inbox)
        if content is None and self._end is not None:
            end, self._end = self._end, None
            return end
        return content

    def _read_auth_line(self) -> Event | None:
        line = self._inbox.line(MAX_AUTH_LINE)
        if line is None:
            return self._unfinished(MAX_AUTH_LINE)
        if b"\n" in line:
            return Rejected(BARE_LF, last=True)
        if line == b"*":
            return Rejected(AUTH_CANCELLED)
        response = decode_base64(line)
        return Rejected(BAD_BASE64) if response is None else AuthLine(response)


_NO_MAIL = Mail(None)
_NO_CONTENT = DottedContent(0)  # never read: a 354 or BDAT replaces it


_IN_CONTENT = frozenset({State.CONTENT, State.CHUNK, State.LAST_CHUNK})
_IN_TRANSACTION = _IN_CONTENT | {State.SENDER, State.RECIPIENTS, State.BETWEEN_CHUNKS}
_AUTH_EVENTS: frozenset[type[Event]] = frozenset({Auth, AuthLine})

#: What is read in the states in which no commands are read.
_READ: dict[State, Callable[[ServerDialogue], Event | None]] = {
    State.CONTENT: ServerDialogue._read_content,
    State.CHUNK: ServerDialogue._read_content,
    State.LAST_CHUNK: ServerDialogue._read_content,
    State.AUTHENTICATING: ServerDialogue._read_auth_line,
    State.SECURING: lambda dialogue: None,
    State.CLOSED: lambda dialogue: None,
}

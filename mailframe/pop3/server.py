"""The server's side of POP3: octets in, events out; replies and messages in, octets out.

RFC 1939 with CAPA, PIPELINING and response codes (RFC 2449 and RFC 3206), STLS (2595), AUTH (5034)
and UTF8 (6856). There is no APOP, because it needs the passwords themselves, and no LANG.
`event.py` says what a session must do with each event; `order.py` says which command may follow
which.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import replace

from .command import (
    Auth,
    Capa,
    Command,
    List,
    Mechanisms,
    Pass,
    Quit,
    Retr,
    Top,
    Uidl,
    User,
    Utf8,
)
from .event import AuthLine, Event, Rejected
from .excerpt import Excerpt
from .grammar import decode_base64, parse_command
from .inbox import Inbox
from .offer import NO_OFFER, Offer, capability_lines, mechanism_lines
from .order import ORDER, REFUSED, State
from .refusals import AUTH_CANCELLED, refusal
from .reply import BAD_BASE64, BARE_LF, LINE_TOO_LONG, TOO_MANY_BAD_COMMANDS, Reply, ok
from .stuffing import Stuffer

MAX_COMMAND_LINE = 512  # octets with their end; RFC 2449 section 4 asks for 255, names are longer
MAX_AUTH_LINE = 12288  # octets with their end; RFC 5034 section 4 leaves it to the mechanisms
MAX_BAD_COMMANDS = 10  # lines refused by the dialogue; the last of them ends the session

_SHOWN = 512  # octets of a refused line that Rejected shows
_SECRET = re.compile(rb" *(PASS|AUTH|APOP)", re.IGNORECASE)


class ServerDialogue:
    """The dialogue of one session. It gives the next event only when the last one has been
    answered to the end, so what a client pipelines waits (RFC 2449 section 6.6).

    `offer` may be replaced at any time. `state` is read-only for others; in SECURING, and in no
    other state, TLS begins and `tls_started` must be called next. `name` is that of the last
    accepted USER, for the PASS that follows; `utf8` is True after an accepted UTF8. Stop reading
    from the client while `buffered` is large: what has come is kept until it is its turn.

    So many `bad_commands` end the session. They are lines that the dialogue refuses by itself: all
    of them before the login, and afterwards those in a row. Failed logins are counted by others.
    """

    __slots__ = (
        "_bad",
        "_bad_commands",
        "_excerpt",
        "_hides",
        "_inbox",
        "_owed",
        "_text",
        "name",
        "offer",
        "state",
        "utf8",
    )

    def __init__(self, offer: Offer = NO_OFFER, *, bad_commands: int = MAX_BAD_COMMANDS) -> None:
        self.offer = offer
        self._bad_commands = bad_commands
        self._inbox = Inbox()
        self._begin()

    def _begin(self) -> None:
        self.state = State.AUTHORIZATION
        self.name = ""
        self.utf8 = False
        self._inbox.clear()
        self._owed: Event | None = None
        self._text: Stuffer | None = None
        self._excerpt: Excerpt | None = None
        self._bad = 0
        self._hides = False

    @property
    def buffered(self) -> int:
        """Octets that were received and are not part of an event yet."""
        return len(self._inbox)

    @property
    def owes_answer(self) -> bool:
        """True while the last event waits for its answer, or for the end of it."""
        return self._owed is not None

    @property
    def in_text(self) -> bool:
        """True while `feed` and `finish` are due: a multi-line reply has begun."""
        return self._text is not None

    @property
    def has_enough(self) -> bool:
        """True if nothing that is fed will be sent any more, because TOP wants no more lines."""
        return self._excerpt is not None and self._excerpt.full

    def capabilities(self) -> bytes:
        """The text that answers CAPA: a line for each capability on offer."""
        return capability_lines(self.offer)

    def mechanisms(self) -> bytes:
        """The text that answers AUTH alone: a line for each mechanism on offer."""
        return mechanism_lines(self.offer)

    def receive_data(self, octets: bytes) -> None:
        """Take octets from the client.

        They are dropped if the dialogue is closed or waits for TLS.
        """
        if self.state is not State.CLOSED and self.state is not State.SECURING:
            self._inbox.put(octets)

    def next_event(self) -> Event | None:
        """The next event; None if more octets are needed or an answer is due."""
        if self._owed is not None or not self._inbox:
            return None
        if self.state is State.AUTHENTICATING:
            self._owed = self._read_auth_line()
        else:
            self._owed = self._read_command()
        return self._owed

    def challenge(self, octets: bytes) -> bytes:
        """What asks the client for the next AuthLine (RFC 5034 section 4).

        Raises ValueError if the event that waits is neither Auth nor AuthLine.
        """
        if not isinstance(self._owed, Auth | AuthLine):
            raise ValueError(f"a challenge is no answer to {self._owed}")
        self._owed = None
        self.state = State.AUTHENTICATING
        return b"+ " + b64encode(octets) + b"\r\n"

    def send(self, reply: Reply, text: bytes | None = None) -> bytes:
        """The octets that answer the event that waits; moves the state.

        `text` is all that follows in a multi-line reply. Without it, a positive reply to a command
        that wants one leaves the dialogue in_text. Raises ValueError if no event waits, if it is
        answered already, if a text is given where none can follow, and for a positive reply to what
        was refused.
        """
        event = self._owed
        if event is None or self._text is not None:
            raise ValueError(f"no event waits for the answer {reply}")
        if reply.positive and isinstance(event, Rejected):
            raise ValueError(f"a positive answer to what was refused: {event}")
        has_text = reply.positive and _wants_text(event)
        if text is not None and not has_text:
            raise ValueError(f"no text follows {reply} to {event}")
        line = reply.to_bytes()
        if has_text:
            self._text = Stuffer()
            self._excerpt = Excerpt(event.lines) if isinstance(event, Top) else None
            return line if text is None else line + self.feed(text) + self.finish()
        self._owed = None
        self._move(event, reply)
        return line

    def feed(self, octets: bytes) -> bytes:
        """Some octets of a multi-line reply as they are sent: whole lines or parts of them.

        Give the message as it is kept; TOP's part of it is chosen here. Raises ValueError if the
        dialogue is not in_text.
        """
        if self._text is None:
            raise ValueError("no multi-line reply has begun")
        if self._excerpt is not None:
            octets = self._excerpt.feed(octets)
        return self._text.feed(octets)

    def finish(self) -> bytes:
        """The end of a multi-line reply. Raises ValueError if the dialogue is not in_text."""
        if self._text is None or self._owed is None:
            raise ValueError("no multi-line reply has begun")
        end = self._text.finish()
        event, self._owed = self._owed, None
        self._text = self._excerpt = None
        self._move(event, _TEXT_SENT)
        return end

    def close(self, reply: Reply | None = None) -> bytes:
        """End the session at any time without a QUIT: nothing more is read.

        The octets say `reply`, unless it would come in the middle of a message. RFC 1939 section 3:
        after a timeout nothing is said, and what was deleted stays. If a message cannot be read to
        its end, this is the only way to tell the client that it has not all of it.
        """
        last = b"" if reply is None or self._text is not None else reply.to_bytes()
        if self.state is State.CLOSED or self.state is State.SECURING:
            last = b""  # in the clear, it would come in the middle of the handshake
        self._begin()
        self.state = State.CLOSED
        return last

    def tls_started(self) -> None:
        """TLS has begun: everything is forgotten, and STLS is off offer (RFC 2595 section 4)."""
        self._begin()
        self.offer = replace(self.offer, stls=False)

    def _move(self, event: Event, reply: Reply) -> None:
        """Move the state after `reply` to `event`, and do what the move includes."""
        if isinstance(event, Rejected) and event.last:
            self.state = State.CLOSED
        elif not reply.positive:
            self.state = REFUSED.get(self.state, {}).get(type(event), self.state)
        else:
            before, self.state = self.state, ORDER[self.state][type(event)]
            if self.state is State.TRANSACTION and before is not State.TRANSACTION:
                self._bad, self._hides = 0, False
            self.utf8 = self.utf8 or isinstance(event, Utf8)
        if self.state is State.NAMED:
            self.name = event.name if isinstance(event, User) else self.name
        else:
            self.name = ""
        if self.state is State.SECURING or self.state is State.CLOSED:
            # RFC 2595 section 4: what came without TLS is forgotten.
            self._inbox.clear()

    def _read_command(self) -> Event | None:
        line = self._inbox.line(MAX_COMMAND_LINE)
        if line is None:
            limit = MAX_COMMAND_LINE
            if len(self._inbox) >= limit and self._inbox.head(5).upper() == b"AUTH ":
                limit = MAX_AUTH_LINE
                line = self._inbox.line(limit)
            if line is None:
                return self._overlong(limit)
        command = BARE_LF if line.endswith(b"\n") else parse_command(line)
        if isinstance(command, Reply):
            return self._reject(command, line)
        refused = refusal(self, command)
        if refused is not None:
            return self._reject(refused, line)
        return self._accept(command)

    def _accept(self, command: Command) -> Command:
        # A client that pipelines its password after an AUTH that is refused, or misspells PASS,
        # must not have it in a log.
        self._hides = isinstance(command, User | Pass | Auth)
        if self.state is State.TRANSACTION:
            self._bad = 0
            if isinstance(command, Quit):
                self.state = State.UPDATE
        return command

    def _read_auth_line(self) -> Event | None:
        line = self._inbox.line(MAX_AUTH_LINE)
        if line is None:
            return self._overlong(MAX_AUTH_LINE)
        if line.endswith(b"\n"):
            return self._reject(BARE_LF, line)
        if line == b"*":
            return self._reject(AUTH_CANCELLED, line)
        response = decode_base64(line)
        return self._reject(BAD_BASE64, line) if response is None else AuthLine(response)

    def _overlong(self, limit: int) -> Rejected | None:
        """Handle a line that has no end within `limit` octets, or none yet."""
        if len(self._inbox) < limit:
            return None
        head = self._inbox.head(_SHOWN)
        self._inbox.skip_line()
        return self._reject(LINE_TOO_LONG, head)

    def _reject(self, reply: Reply, line: bytes) -> Rejected:
        """The event for a line that is refused, without text that may be a secret."""
        self._bad += 1
        self._hides = self._hides or _SECRET.match(line) is not None
        last = self._bad >= self._bad_commands
        shown = b"" if self._hides else line[:_SHOWN]
        return Rejected(TOO_MANY_BAD_COMMANDS if last else reply, shown, last)


def _wants_text(event: Event) -> bool:
    """True if a positive reply to it has more lines (RFC 1939 section 3)."""
    if isinstance(event, List | Uidl):
        return event.number is None
    return isinstance(event, Retr | Top | Capa | Mechanisms)


_TEXT_SENT = ok()

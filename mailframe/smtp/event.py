"""What the server dialogue tells its session, besides the commands themselves.

A session asks `next_event()` until it gives None and answers every event that wants an answer, in
order, with `send(reply)`; the dialogue gives no next event before that.

| event                      | the session answers with                                   |
|----------------------------|------------------------------------------------------------|
| a Command (but Bdat)       | `send(reply)`; DATA with a 354 or a refusal; AUTH with a   |
|                            | 334 (an AuthLine comes next) or a final reply              |
| Rejected                   | `send(event.reply)`; `send(event.reply, OUT_OF_STEP)`      |
|                            | if it is the last                                          |
| AuthLine                   | `send(reply)`: another 334 or the final one                |
| Bdat                       | nothing: ContentOctets follow, then ContentEnd             |
| ContentOctets              | nothing                                                    |
| ContentEnd                 | `send(reply)`; LMTP: `send(*replies)`, one per recipient   |
"""

from __future__ import annotations

from dataclasses import dataclass

from .command import Command
from .reply import Reply


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that the dialogue refuses by itself: for its syntax, order, length or a parameter.

    `line` is that line without its end, cut to 512 octets; it is b"" for an AUTH line. After the
    `last` one nothing is read, because client and server might disagree about where the next
    command begins (after a bare LF, or a chunk of unknown size), and a stranger's text could be
    taken for commands.
    """

    reply: Reply
    line: bytes = b""
    last: bool = False


@dataclass(frozen=True, slots=True)
class AuthLine:
    """The client's answer to a 334, decoded from base64 (RFC 4954 section 4).

    A cancel (`*`) and bad base64 come as Rejected(501), which ends the exchange.
    """

    response: bytes


@dataclass(frozen=True, slots=True)
class ContentOctets:
    """Some octets of the message, with dots undone and line ends as they came (CRLF)."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class ContentEnd:
    """The end of DATA or of one BDAT chunk; all content before it has been given.

    `last` is False for a BDAT chunk without LAST. `refusal` is the reply if the content itself has
    an error (bare CR or LF, NUL, too big). Then the message must not be accepted, and
    `send(refusal)` ends the transaction.
    """

    last: bool = True
    refusal: Reply | None = None


Event = Command | Rejected | AuthLine | ContentOctets | ContentEnd

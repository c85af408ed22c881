"""What the server dialogue tells its session, besides the commands themselves.

A session asks `next_event()` until it gives None, and answers every event, in order; the dialogue
gives no next event before that.

| event                 | the session answers with                                       |
|-----------------------|----------------------------------------------------------------|
| Rejected              | `send(event.reply)`                                            |
| Auth, AuthLine        | `challenge(octets)` (an AuthLine comes next) or `send(reply)`  |
| Retr, Top, Capa,      | `send(reply)`; after a positive one `feed(octets)` as often as |
| Mechanisms; List and  | it likes, and `finish()`; or both at once with                 |
| Uidl without a number | `send(reply, text)`                                            |
| any other Command     | `send(reply)`                                                  |
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .command import Command
from .reply import Reply


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that the dialogue refuses by itself: for its syntax, order, length or an argument.

    `line` is that line without its end, cut to 512 octets; it is b"" if it may hold a secret. After
    the `last` one, which is one bad command too many, nothing is read.
    """

    reply: Reply
    line: bytes = b""
    last: bool = False


@dataclass(frozen=True, slots=True)
class AuthLine:
    """The client's answer to a challenge, decoded from base64 (RFC 5034 section 4).

    A cancel (`*`) and bad base64 come as Rejected, which ends the exchange.
    """

    response: bytes = field(repr=False)


Event = Command | Rejected | AuthLine

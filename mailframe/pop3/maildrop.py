"""What a user sees of a mailbox: messages by number, and which of them QUIT is to remove.

RFC 1939 section 5. Only sizes and unique ids are needed here: nothing is read, nothing blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .command import Dele, List, Noop, Retr, Rset, Stat, Top, Uidl
from .reply import MESSAGE_DELETED, NO_SUCH_MESSAGE, Reply, ok

ROWS = 1000  # messages in one piece of a listing; a piece takes about half a millisecond
_MAX_UID = 70  # characters, RFC 1939 section 7


@dataclass(frozen=True, slots=True)
class Listing:
    """A multi-line reply: send `reply`, then feed each of `rows`, which are spelled as they go."""

    reply: Reply
    rows: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class MessageWanted:
    """Send `reply`, then feed the message of this number, to its end or while it is wanted.

    If it cannot be opened, send a refusal instead.
    """

    reply: Reply
    number: int


MaildropCommand: TypeAlias = Stat | List | Uidl | Retr | Top | Dele | Rset | Noop
Outcome: TypeAlias = Reply | Listing | MessageWanted


class Maildrop:
    """The messages of one session, which stay the same until its end.

    `sizes` are in octets with CRLF at each line's end, as the messages are sent (RFC 1939 section
    11); `uids` are 1 to 70 visible ASCII characters each (section 7), or ValueError is raised. The
    message of number n is at index n - 1. Nothing is removed here: `deleted` is for QUIT, and for
    nothing else that ends the session.
    """

    __slots__ = ("_count", "_deleted", "_octets", "_sizes", "_uids")

    def __init__(self, sizes: Sequence[int], uids: Sequence[str]) -> None:
        if len(sizes) != len(uids):
            raise ValueError(f"{len(sizes)} sizes and {len(uids)} unique ids")
        if not _are_unique_ids(uids):
            raise ValueError("a unique id is 1 to 70 visible characters (RFC 1939 section 7)")
        self._sizes, self._uids = sizes, uids
        self._deleted: set[int] = set()
        self._reset()

    def _reset(self) -> None:
        self._deleted.clear()
        self._count, self._octets = len(self._sizes), sum(self._sizes)

    @property
    def deleted(self) -> list[int]:
        """The numbers of the messages that QUIT removes, in their order."""
        return sorted(self._deleted)

    def answer(self, command: MaildropCommand) -> Outcome:
        """What to say to a command of the TRANSACTION state. DELE and RSET have their effect."""
        if isinstance(command, Retr | Top | Dele):
            return self._about_one(command, command.number)
        if isinstance(command, List | Uidl):
            if command.number is not None:
                return self._about_one(command, command.number)
            row = self._size_row if isinstance(command, List) else self._uid_row
            return Listing(self._summary(), self._rows(row))
        if isinstance(command, Stat):
            return ok(f"{self._count} {self._octets}")
        if isinstance(command, Noop):
            return ok()
        self._reset()
        return self._summary()

    def _about_one(self, command: MaildropCommand, number: int) -> Outcome:
        if not 1 <= number <= len(self._sizes):
            return NO_SUCH_MESSAGE
        if number in self._deleted:
            # RFC 1939 section 5: no command refers to a message that is marked as deleted.
            return MESSAGE_DELETED
        if isinstance(command, Retr):
            return MessageWanted(ok(f"{self._sizes[number - 1]} octets"), number)
        if isinstance(command, Top):
            return MessageWanted(ok(), number)
        if isinstance(command, Dele):
            self._deleted.add(number)
            self._count -= 1
            self._octets -= self._sizes[number - 1]
            return ok(f"Message {number} deleted")
        row = self._size_row if isinstance(command, List) else self._uid_row
        return ok(row(number))

    def _summary(self) -> Reply:
        return ok(f"{self._count} messages ({self._octets} octets)")

    def _size_row(self, number: int) -> str:
        return f"{number} {self._sizes[number - 1]}"

    def _uid_row(self, number: int) -> str:
        return f"{number} {self._uids[number - 1]}"

    def _rows(self, row: Callable[[int], str]) -> Iterator[bytes]:
        for first in range(1, len(self._sizes) + 1, ROWS):
            numbers = range(first, min(first + ROWS, len(self._sizes) + 1))
            rows = [f"{row(number)}\r\n" for number in numbers if number not in self._deleted]
            yield "".join(rows).encode("ascii")


def _are_unique_ids(uids: Sequence[str]) -> bool:
    # All in C: a mailbox may have 100,000 of them.
    if not uids:
        return True
    together = "".join(uids)
    is_visible = together.isascii() and together.isprintable() and " " not in together
    return is_visible and min(map(len, uids)) > 0 and max(map(len, uids)) <= _MAX_UID

"""A message that waits in the queue."""

from __future__ import annotations

from dataclasses import dataclass

from ..smtp.reply import Reply
from .content import Message
from .envelope import Recipient


@dataclass(frozen=True, slots=True)
class Pending:
    """One recipient still waiting in the queue.

    `due` is seconds since the epoch; `attempts` counts finished attempts;
    `last` is the last outcome's reply, `remote` who gave it; `warned` is True once the
    sender has been told of the delay.
    """

    recipient: Recipient
    due: float
    attempts: int = 0
    last: Reply | None = None
    remote: str = ""
    warned: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A message in the queue with the recipients that still wait.

    `created` is when it was received, seconds since the epoch. `leased` is True while a
    host works on it. `hold` keeps it from being claimed until released.
    """

    message: Message
    pending: tuple[Pending, ...]
    created: float
    hold: bool = False
    leased: bool = False

    @property
    def id(self) -> str:
        """The message's name."""
        return self.message.id

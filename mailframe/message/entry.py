"""A message that waits in the queue."""

from __future__ import annotations

from dataclasses import dataclass

from ..smtp.reply import Reply
from .content import Message
from .envelope import Recipient


@dataclass(frozen=True, slots=True)
class Pending:
    """One recipient that still waits in the queue.

    `due` is in seconds since the epoch. `attempts` counts finished attempts. `last` is the reply of
    the last outcome, and `remote` the host that gave it. `warned` is True once the sender has been
    told of the delay.
    """

    recipient: Recipient
    due: float
    attempts: int = 0
    last: Reply | None = None
    remote: str = ""
    warned: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A message in the queue, with the recipients that still wait.

    `created` is when it was received, in seconds since the epoch. `leased` is True while a host
    works on it. If `hold` is True it cannot be claimed until it is released.
    """

    message: Message
    pending: tuple[Pending, ...]
    created: float
    hold: bool = False
    leased: bool = False

    @property
    def id(self) -> str:
        """The message's id."""
        return self.message.id

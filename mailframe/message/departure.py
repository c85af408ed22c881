"""The changes that departure hooks make to a message that leaves for another host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..smtp.address import Mailbox
from .content import Content, Message
from .envelope import Recipient
from .finding import Without


@dataclass(frozen=True, slots=True)
class Departure:
    """What one departure hook wants changed in a message that leaves.

    `content` replaces the content. Then the fields of `without` are removed, also those that this
    host has added, and `headers` are put on top: "Name: value" texts, folded or not, without the
    final line end, in ASCII unless the envelope has `smtputf8`. `senders` are new reverse-paths for
    the copies of these recipients; the null reverse-path stays as it is.
    """

    headers: tuple[str, ...] = ()
    without: tuple[Without, ...] = ()
    content: Content | None = None
    senders: Mapping[Recipient, Mailbox] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Departed:
    """A message as it leaves. `senders` are the reverse-paths that differ from the envelope's."""

    message: Message
    senders: Mapping[Recipient, Mailbox] = field(default_factory=dict)

    def with_content(self, content: Content) -> Departed:
        """The same message with this content."""
        return replace(self, message=replace(self.message, content=content))

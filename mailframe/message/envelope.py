"""One mail transaction: its sender, its recipients and its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..smtp.address import Mailbox
from ..smtp.command import Body, Ret
from .client import Client
from .copier import copier
from .finding import AuthResult


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient of a mail transaction, with the parameters of RFC 3461.

    `notify` is None if the client gave none, else some of "NEVER", "SUCCESS", "FAILURE", "DELAY".
    `orcpt` is "addr-type;address", decoded. `came_from` are the addresses that were redirected to
    this one, beginning with the one that the client gave. `sender` is this recipient's own
    reverse-path (the owner of a list); None means the envelope's.
    """

    address: Mailbox
    notify: frozenset[str] | None = None
    orcpt: str | None = None
    came_from: tuple[Mailbox, ...] = ()
    sender: Mailbox | None = None

    def __hash__(self) -> int:
        """A hash of the fields that distinguish the recipients of one message."""
        if self.came_from or self.sender is not None:
            return hash((self.address, self.came_from, self.sender))
        return hash(self.address)

    @property
    def key(self) -> tuple[Mailbox, Mailbox | None]:
        """The address and its own reverse-path. A message has only one entry for each key."""
        return self.address, self.sender

    @property
    def original(self) -> Mailbox:
        """The address that the client gave."""
        return self.came_from[0] if self.came_from else self.address


@dataclass(frozen=True, slots=True)
class Envelope:
    """One mail transaction (RFC 5321 section 3.3). `sender` None is the null reverse-path.

    `id` names the message from MAIL to its last delivery. `size` is what the client declared, in
    octets, or None. `auth` is the AUTH= parameter. `received` is in seconds since the epoch.
    `signals` are facts that filters found ("spf": "fail"), for later plugins to judge, and
    `results` are results of authenticating the message (RFC 8601). `held` is the reason if it is
    held in the queue from the start, else "".
    """

    id: str
    client: Client
    sender: Mailbox | None
    recipients: tuple[Recipient, ...] = ()
    size: int | None = None
    body: Body = "7BIT"
    smtputf8: bool = False
    ret: Ret | None = None
    envid: str | None = None
    auth: str | None = None
    received: float = 0.0
    signals: Mapping[str, str] = field(default_factory=dict)
    results: tuple[AuthResult, ...] = ()
    held: str = ""

    def to(self, recipient: Recipient) -> Envelope:
        """The same envelope with one more recipient."""
        return _with_recipients(self, (*self.recipients, recipient))


_with_recipients = copier(Envelope, "recipients")

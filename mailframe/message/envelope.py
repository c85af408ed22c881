"""One mail transaction: its sender, its recipients, what was asked of it."""

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
    """One recipient of a mail transaction, with what RFC 3461 says of it.

    `notify` None where the client gave none, else of "NEVER", "SUCCESS", "FAILURE",
    "DELAY". `orcpt` is "addr-type;address" decoded. `came_from` are the addresses that
    redirected to this one, the client's own spelling first. `sender` is a reverse-path of
    its own (a list's owner), None for the envelope's.
    """

    address: Mailbox
    notify: frozenset[str] | None = None
    orcpt: str | None = None
    came_from: tuple[Mailbox, ...] = ()
    sender: Mailbox | None = None

    def __hash__(self) -> int:
        """Of what tells the recipients of one message apart."""
        if self.came_from or self.sender is not None:
            return hash((self.address, self.came_from, self.sender))
        return hash(self.address)

    @property
    def key(self) -> tuple[Mailbox, Mailbox | None]:
        """What a message has one entry of: the address and the reverse-path of its own."""
        return self.address, self.sender

    @property
    def original(self) -> Mailbox:
        """The address that the client gave."""
        return self.came_from[0] if self.came_from else self.address


@dataclass(frozen=True, slots=True)
class Envelope:
    """One mail transaction (RFC 5321 section 3.3). `sender` None is the null reverse-path.

    `id` names the message from MAIL to its last delivery. `size` is what the client
    declared, octets or None. `auth` is the AUTH= parameter. `received` is seconds since
    the epoch. `signals` are facts that filters found ("spf": "fail"), for policy to judge, and
    `results` those of authenticating the message (RFC 8601). `held` is why it is held in the
    queue from the start, "" if it is not.
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
        """The same with one more recipient."""
        return _with_recipients(self, (*self.recipients, recipient))


_with_recipients = copier(Envelope, "recipients")

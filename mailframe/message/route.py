"""Where a recipient's copy goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..smtp.address import Mailbox
from .copier import copier
from .envelope import Recipient

TlsUse = Literal["never", "opportunistic", "require", "verify", "implicit"]


@dataclass(frozen=True, slots=True)
class NextHop:
    """Where a message goes next over SMTP or LMTP.

    `lookup` says what `host` is: "mx" a domain whose exchanges are asked, "host" a name
    or address literal to dial itself, "unix" the path of a socket. `port` None is the
    agent's. `tls`: "opportunistic" takes what is offered, "require" wants TLS of any
    certificate, "verify" a certificate that names the host, "implicit" is TLS from the
    first octet, verified. `private` allows loopback and private addresses. `configured` says
    who named the host: the operator (True), so that a host that is not there is a mistake in
    the settings and mail waits, or the recipient's address (False), which bounces. None: the
    operator, unless `lookup` is "mx".
    """

    host: str
    lookup: Literal["mx", "host", "unix"] = "mx"
    port: int | None = None
    tls: TlsUse = "opportunistic"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    private: bool = False
    configured: bool | None = field(default=None, compare=False)

    @property
    def by_operator(self) -> bool:
        """True if the operator named the host, not the recipient's address."""
        return self.lookup != "mx" if self.configured is None else self.configured


@dataclass(frozen=True, slots=True)
class Route:
    """Where one recipient's copy goes: an agent (`[deliver.NAME]`), and what it needs.

    A local mailbox has `mailbox` (with the tag taken off; `tag` is that, without the
    separator); what is passed on has `next_hop`. `recipient` is filled in by the hooks.
    Recipients with one agent and one next hop share a transaction.
    """

    agent: str
    recipient: Recipient | None = None
    mailbox: Mailbox | None = None
    tag: str = ""
    next_hop: NextHop | None = None

    def of(self, recipient: Recipient) -> Route:
        """The same for this recipient."""
        return _with_recipient(self, recipient)


_with_recipient = copier(Route, "recipient")


@dataclass(frozen=True, slots=True)
class Redirect:
    """The recipient stands for these others (alias, list, catch-all), which are routed anew.

    `sender` is the reverse-path that their copies get (a list's owner), None for the same.
    """

    addresses: tuple[Mailbox, ...]
    sender: Mailbox | None = None

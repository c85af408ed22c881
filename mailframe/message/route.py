"""The route of a recipient's copy of a message."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..smtp.address import Mailbox
from .copier import copier
from .envelope import Recipient

TlsUse = Literal["never", "opportunistic", "require", "verify", "implicit"]


@dataclass(frozen=True, slots=True)
class NextHop:
    """The next hop of a message over SMTP or LMTP.

    `lookup` says what `host` is: for "mx" a domain whose exchanges are looked up, for "host" a name
    or address literal that is dialled itself, for "unix" the path of a socket. If `port` is None,
    the agent's port is used. `tls`: "opportunistic" uses TLS if it is offered, "require" wants TLS
    with any certificate, "verify" wants a certificate that names the host, and "implicit" is TLS
    from the first octet, verified. `private` allows loopback and private addresses.

    `configured` is True if the operator named the host: if the host does not exist, that is a
    mistake in the settings and the mail waits. It is False if the recipient's address names it:
    then the mail bounces. None means True, unless `lookup` is "mx".
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
        """True if the operator named the host, rather than the recipient's address."""
        return self.lookup != "mx" if self.configured is None else self.configured


@dataclass(frozen=True, slots=True)
class Route:
    """The route of one recipient's copy: an agent (`[deliver.NAME]`), and what the agent needs.

    For a local mailbox, `mailbox` is set; its tag is taken off and stands in `tag`, without the
    separator. For mail to another host, `next_hop` is set. The hooks fill in `recipient`.
    Recipients with the same agent and next hop share a transaction.
    """

    agent: str
    recipient: Recipient | None = None
    mailbox: Mailbox | None = None
    tag: str = ""
    next_hop: NextHop | None = None

    def of(self, recipient: Recipient) -> Route:
        """The same route for this recipient."""
        return _with_recipient(self, recipient)


_with_recipient = copier(Route, "recipient")


@dataclass(frozen=True, slots=True)
class Redirect:
    """The recipient is replaced by others (alias, list, catch-all), which are routed in their turn.

    `sender` is the reverse-path of their copies (the owner of a list); None keeps the envelope's.
    """

    addresses: tuple[Mailbox, ...]
    sender: Mailbox | None = None

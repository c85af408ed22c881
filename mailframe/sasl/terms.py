"""What the exchanges of one connection depend on, besides what is said in them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from .channel_binding import check_bindings
from .step import TokenRefused
from .stored_keys import DEFAULT_ITERATIONS

MIN_SECRET = 16  # octets


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTerms:
    """The server's side of a connection, as it stands now.

    `offered` are the mechanisms that were announced to this client, and no other can be begun.
    `random` gives so many random octets: `secrets.token_bytes`. `bindings` are what
    channel_binding says.

    `secret`, at least 16 octets, makes up a salt for names that nobody has, so that they cannot
    be told from users; it must be the same after a restart and in every process of the host.
    `iterations` should be that of most users for the same reason.

    `success_data` says that the protocol can carry octets with its success (ManageSieve can,
    RFC 5804 section 2.1); if not, as with SMTP (RFC 4954 section 4), POP3 and IMAP, the exchange
    sends them as one more challenge, which the client answers with an empty response.

    `no_token` is what a client reads whose token is refused without a word.
    ValueError if the secret is too short or a binding is of no known type.
    """

    offered: Collection[str]
    random: Callable[[int], bytes] = field(repr=False)
    secret: bytes = field(repr=False)
    bindings: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    iterations: int = DEFAULT_ITERATIONS
    success_data: bool = False
    no_token: TokenRefused = TokenRefused()

    def __post_init__(self) -> None:
        if len(self.secret) < MIN_SECRET:
            raise ValueError(f"the secret has at least {MIN_SECRET} octets")
        check_bindings(self.bindings)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTerms:
    """The client's side of a connection: what the server offers, and what TLS gives.

    `offered` are the names as the server spells them; they are kept in capitals. `private` says
    that a password may be sent as it is: the connection is encrypted to the right host, or the
    operator wants it so. `random` and `bindings` are as for a server. ValueError if a binding
    is of no known type.
    """

    offered: Collection[str]
    random: Callable[[int], bytes] = field(repr=False)
    private: bool
    bindings: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        check_bindings(self.bindings)
        object.__setattr__(self, "offered", frozenset(name.upper() for name in self.offered))

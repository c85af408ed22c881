"""The circumstances of an exchange: what its connection and its host provide."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from .channel_binding import check_bindings
from .step import TokenRefused
from .stored_keys import DEFAULT_ITERATIONS

MIN_SECRET = 16  # octets


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTerms:
    """The server's side of a connection, as it is now.

    `offered` are the mechanisms that were announced to this client; no other one can be begun.
    `random` returns as many random octets as it is asked for: `secrets.token_bytes`. `bindings` are
    described in channel_binding.

    `secret`, of at least 16 octets, is used to make up a salt for unknown names, so that they
    cannot be told from users. It must be the same after a restart and in every process of the host.
    For the same reason `iterations` should be those of most users.

    `success_data` says that the protocol can carry octets with its success, as ManageSieve can (RFC
    5804 section 2.1). If it cannot, as with SMTP (RFC 4954 section 4), POP3 and IMAP, the exchange
    sends them as one more challenge, to which the client sends an empty response.

    `no_token` is what a client reads if its token is refused without a reason. ValueError if the
    secret is too short or a binding has an unknown type.
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
    """The client's side of a connection: what the server offers, and what TLS provides.

    `offered` are the names as the server spells them; they are kept in capitals. `private` says
    that a password may be sent as it is, because the connection is encrypted to the right host, or
    because the operator wants it so. `random` and `bindings` are as for a server. ValueError if a
    binding has an unknown type.
    """

    offered: Collection[str]
    random: Callable[[int], bytes] = field(repr=False)
    private: bool
    bindings: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        check_bindings(self.bindings)
        object.__setattr__(self, "offered", frozenset(name.upper() for name in self.offered))

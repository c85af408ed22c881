"""The client of a session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .copier import copier


@dataclass(frozen=True, slots=True)
class Tls:
    """The TLS layer of a session: "TLSv1.3", the cipher's name, the name that SNI asked for."""

    version: str
    cipher: str
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class Client:
    """The client of a session: what is known of it so far.

    `address` and `local_address` are IP addresses as text ("unix" for a unix socket). `listener` is
    the name of its `[[listen]]`. `hello` is the name that it gave, "" before. `protocol` is the
    "with" keyword of RFC 3848 (SMTP, ESMTP, ESMTPSA, LMTP, …). `user` is the user who has logged
    in, or None. `signals` are what filters found at connect and hello. `name` is the host's name by
    DNS, if a client that is allowed to (XCLIENT) has told it, else "". Behind a proxy all of this
    is about the real client; `address` is "unknown" if the proxy does not know it.
    """

    address: str
    port: int = 0
    listener: str = ""
    local_address: str = ""
    local_port: int = 0
    session: str = ""
    hello: str = ""
    protocol: str = "SMTP"
    tls: Tls | None = None
    user: str | None = None
    signals: Mapping[str, str] = field(default_factory=dict)
    name: str = ""

    def greeted(self, hello: str, protocol: str, signals: Mapping[str, str]) -> Client:
        """The same client after its hello."""
        return _greeted(self, hello, protocol, signals)


_greeted = copier(Client, "hello", "protocol", "signals")

"""Who speaks to us."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .copier import copier


@dataclass(frozen=True, slots=True)
class Tls:
    """The TLS layer of a session: "TLSv1.3", the cipher's name, the name asked by SNI."""

    version: str
    cipher: str
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class Client:
    """Who speaks to us: one session's facts so far.

    `address` and `local_address` are IP addresses as text ("unix" for a unix socket);
    `listener` the name of its `[[listen]]`; `hello` the name it gave, "" before; `protocol`
    the "with" keyword of RFC 3848 (SMTP, ESMTP, ESMTPSA, LMTP, …); `user` who is
    authenticated, None for nobody; `signals` what filters found at connect and hello. `name` is
    the host's name by DNS, as far as somebody who may (XCLIENT) told it, "" if it is not known.
    Behind a proxy all of this is the client's, and `address` "unknown" if nobody knows it.
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
        """The same after it said hello."""
        return _greeted(self, hello, protocol, signals)


_greeted = copier(Client, "hello", "protocol", "signals")

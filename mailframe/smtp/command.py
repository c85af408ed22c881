"""One frozen value for each command, which the grammar reads and the client writes.

The two that every message needs are named tuples, which cost a third of a frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from .address import Mailbox

Body = Literal["7BIT", "8BITMIME", "BINARYMIME"]
Ret = Literal["FULL", "HDRS"]


@dataclass(frozen=True, slots=True)
class Helo:
    """HELO domain (RFC 5321 section 4.1.1.1)."""

    name: str


@dataclass(frozen=True, slots=True)
class Ehlo:
    """EHLO domain-or-literal (RFC 5321 section 4.1.1.1)."""

    name: str


@dataclass(frozen=True, slots=True)
class Lhlo:
    """LHLO domain (RFC 2033 section 4.1)."""

    name: str


class Mail(NamedTuple):
    """MAIL FROM (RFC 5321 section 4.1.1.2). `sender` None is the null reverse-path.

    `size` is in octets (RFC 1870), `body` from RFC 6152 and RFC 3030, `smtputf8` from RFC 6531,
    `ret` and `envid` (its xtext decoded) from RFC 3461. `auth` is the AUTH= parameter, decoded,
    with "<>" kept (RFC 4954 section 5).
    """

    sender: Mailbox | None
    size: int | None = None
    body: Body = "7BIT"
    smtputf8: bool = False
    ret: Ret | None = None
    envid: str | None = None
    auth: str | None = None


class Rcpt(NamedTuple):
    """RCPT TO (RFC 5321 section 4.1.1.3) with NOTIFY and ORCPT (RFC 3461).

    `notify` is None if not given, else a set of "NEVER", "SUCCESS", "FAILURE", "DELAY". `orcpt` is
    "addr-type;address" with its xtext decoded.
    """

    recipient: Mailbox
    notify: frozenset[str] | None = None
    orcpt: str | None = None


@dataclass(frozen=True, slots=True)
class Data:
    """DATA (RFC 5321 section 4.1.1.4)."""


@dataclass(frozen=True, slots=True)
class Bdat:
    """BDAT chunk-size [LAST] (RFC 3030 section 2)."""

    size: int
    last: bool = False


@dataclass(frozen=True, slots=True)
class Rset:
    """RSET (RFC 5321 section 4.1.1.5)."""


@dataclass(frozen=True, slots=True)
class Vrfy:
    """VRFY string (RFC 5321 section 4.1.1.6)."""

    text: str


@dataclass(frozen=True, slots=True)
class Expn:
    """EXPN string (RFC 5321 section 4.1.1.7)."""

    text: str


@dataclass(frozen=True, slots=True)
class Help:
    """HELP [string] (RFC 5321 section 4.1.1.8)."""

    text: str = ""


@dataclass(frozen=True, slots=True)
class Noop:
    """NOOP [string] (RFC 5321 section 4.1.1.9)."""


@dataclass(frozen=True, slots=True)
class Quit:
    """QUIT (RFC 5321 section 4.1.1.10)."""


@dataclass(frozen=True, slots=True)
class StartTls:
    """STARTTLS (RFC 3207)."""


@dataclass(frozen=True, slots=True)
class Auth:
    """AUTH mechanism [initial-response] (RFC 4954 section 4).

    `initial` is the response decoded from base64: b"" for "=", None if there is none.
    """

    mechanism: str
    initial: bytes | None = None


@dataclass(frozen=True, slots=True)
class Xclient:
    """XCLIENT attribute=value ... (Postfix's XCLIENT_README): who the real client is.

    The names of `attributes` are NAME, ADDR, PORT, PROTO, HELO, LOGIN, DESTADDR and DESTPORT, in
    capitals; their values have their xtext decoded. Addresses are IP addresses without "IPV6:".
    None stands for "[UNAVAILABLE]" or "[TEMPUNAVAIL]": the value is not known, and that of the
    connection does not apply.
    """

    attributes: Mapping[str, str | None]


Command = (
    Helo
    | Ehlo
    | Lhlo
    | Mail
    | Rcpt
    | Data
    | Bdat
    | Rset
    | Vrfy
    | Expn
    | Help
    | Noop
    | Quit
    | StartTls
    | Auth
    | Xclient
)

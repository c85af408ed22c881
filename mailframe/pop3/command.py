"""One frozen value for each command. A message is known by its number, from 1."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Capa:
    """CAPA (RFC 2449 section 5): what does the server offer?"""


@dataclass(frozen=True, slots=True)
class Stls:
    """STLS (RFC 2595 section 4)."""


@dataclass(frozen=True, slots=True)
class Utf8:
    """UTF8 (RFC 6856 section 2.1): messages may come with UTF-8 in their header fields."""


@dataclass(frozen=True, slots=True)
class User:
    """USER name (RFC 1939 section 7)."""

    name: str


@dataclass(frozen=True, slots=True)
class Pass:
    """PASS string (RFC 1939 section 7); blanks in it, also at its ends, are part of it."""

    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Auth:
    """AUTH mechanism [initial-response] (RFC 5034 section 4).

    `initial` is the response decoded from base64: b"" for "=", None if there is none.
    """

    mechanism: str
    initial: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Mechanisms:
    """AUTH alone: which mechanisms are there?

    It is in no RFC, but older than SASL in CAPA, and clients still ask.
    """


@dataclass(frozen=True, slots=True)
class Stat:
    """STAT (RFC 1939 section 5): how many messages, and how many octets in all?"""


@dataclass(frozen=True, slots=True)
class List:
    """LIST [msg] (RFC 1939 section 5): the size of a message, or of each if `number` is None."""

    number: int | None = None


@dataclass(frozen=True, slots=True)
class Uidl:
    """UIDL [msg] (RFC 1939 section 7): the unique id of a message, or of each if None."""

    number: int | None = None


@dataclass(frozen=True, slots=True)
class Retr:
    """RETR msg (RFC 1939 section 5): the whole message."""

    number: int


@dataclass(frozen=True, slots=True)
class Top:
    """TOP msg n (RFC 1939 section 7): the header section and `lines` lines of the body."""

    number: int
    lines: int


@dataclass(frozen=True, slots=True)
class Dele:
    """DELE msg (RFC 1939 section 5): remove the message at QUIT."""

    number: int


@dataclass(frozen=True, slots=True)
class Rset:
    """RSET (RFC 1939 section 5): no message is to be removed any more."""


@dataclass(frozen=True, slots=True)
class Noop:
    """NOOP (RFC 1939 section 5)."""


@dataclass(frozen=True, slots=True)
class Quit:
    """QUIT (RFC 1939 sections 4 and 6)."""


Command = (
    Capa
    | Stls
    | Utf8
    | User
    | Pass
    | Auth
    | Mechanisms
    | Stat
    | List
    | Uidl
    | Retr
    | Top
    | Dele
    | Rset
    | Noop
    | Quit
)

"""What DNS says of a name: its records, or why there are none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T", covariant=True)


class Unresolvable(Exception):
    """DNS gave no answer; the text says for what and why.

    `temporary` is False where the name does not exist (NXDOMAIN) or cannot exist, True for
    SERVFAIL, a refusal and silence: the same question may be answered later.
    """

    def __init__(self, message: str, temporary: bool) -> None:
        super().__init__(message)
        self.temporary = temporary


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """The records of one name and type; () where the name exists without any (NODATA).

    `authenticated`: every response that led here carried the AD bit, so DNSSEC vouches for
    it as far as the way to the name server is trusted. `ttl` is seconds, the least on the
    way, as it was when the answer came.
    """

    records: tuple[T, ...]
    authenticated: bool = False
    ttl: int = 0


class MxRecord(NamedTuple):
    """An exchange (RFC 5321 section 5.1); the lower preference is the better one.

    `host` is in lower case without trailing dot, "" for the null MX of RFC 7505.
    """

    preference: int
    host: str


class TlsaRecord(NamedTuple):
    """A TLSA record (RFC 6698 section 2.1) as it is; nothing is judged here."""

    usage: int
    selector: int
    matching: int
    association: bytes

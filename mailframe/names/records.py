"""The DNS records of a name, or the reason why there are none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T", covariant=True)


class Unresolvable(Exception):
    """DNS gave no answer; the text says for which name and why.

    `temporary` is False if the name does not exist (NXDOMAIN) or cannot exist. It is True for
    SERVFAIL, a refusal and silence: the same question may be answered later.
    """

    def __init__(self, message: str, temporary: bool) -> None:
        super().__init__(message)
        self.temporary = temporary


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """The records of one name and type; () if the name exists without any (NODATA).

    `authenticated` is True if every response that led here carried the AD bit. Then DNSSEC vouches
    for the answer, as far as the connection to the name server can be trusted. `ttl` is the
    smallest one of those responses, in seconds, as it was when the answer came.
    """

    records: tuple[T, ...]
    authenticated: bool = False
    ttl: int = 0


class MxRecord(NamedTuple):
    """An exchange (RFC 5321 section 5.1); a lower preference is tried first.

    `host` is in lower case without a trailing dot, and "" for the null MX of RFC 7505.
    """

    preference: int
    host: str


class TlsaRecord(NamedTuple):
    """A TLSA record (RFC 6698 section 2.1) as DNS gave it; its values are not checked."""

    usage: int
    selector: int
    matching: int
    association: bytes

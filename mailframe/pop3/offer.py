"""What a server offers, and how CAPA says so (RFC 2449)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from .reply import Reply, ok


@dataclass(frozen=True, slots=True)
class Offer:
    """What CAPA announces; the session replaces it after TLS and after the login.

    `user` is True if USER and PASS are taken now, and `auth` are the mechanisms of AUTH, () if
    there is none. `utf8` is True if messages can be had as RFC 6856 wants. `login_delay` is in
    seconds, `expire` in days, and None is not announced (RFC 2449 sections 6.5 and 6.7); both are
    only said here, and enforced by others. If they differ from user to user, `per_user` is True
    until the user is known, and they are the worst case. `implementation` is "" or the name and
    version to tell.
    """

    stls: bool = False
    user: bool = False
    auth: tuple[str, ...] = ()
    utf8: bool = False
    login_delay: int | None = None
    expire: int | Literal["NEVER"] | None = None
    per_user: bool = False
    implementation: str = ""


NO_OFFER = Offer()


def greeting(hostname: str) -> Reply:
    """The +OK that opens a session; there is no timestamp in it, so there is no APOP."""
    return ok(f"{hostname} POP3 ready")


@lru_cache(maxsize=64)
def capability_lines(offer: Offer) -> bytes:
    """The lines of the answer to CAPA.

    They are the same in every state, as RFC 2449 section 5 wants of almost all capabilities.
    """
    found = ((tag, words_of(offer)) for tag, words_of in _CAPABILITIES.items())
    lines = [f"{tag} {words}".rstrip() for tag, words in found if words is not None]
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")


def mechanism_lines(offer: Offer) -> bytes:
    """The lines of the answer to AUTH alone."""
    return "".join(f"{name}\r\n" for name in offer.auth).encode("ascii")


def _always(_offer: Offer) -> str:
    return ""


def _value(value: int | str | None, per_user: bool) -> str | None:
    if value is None:
        return None
    return f"{value} USER" if per_user else str(value)


#: In the order of the answer: a capability's tag, and what follows it there, None if it is not on
#: offer.
_CAPABILITIES: Mapping[str, Callable[[Offer], str | None]] = {
    "TOP": _always,
    "UIDL": _always,
    "RESP-CODES": _always,
    "PIPELINING": _always,
    "AUTH-RESP-CODE": _always,
    "STLS": lambda offer: "" if offer.stls else None,
    "USER": lambda offer: "" if offer.user else None,
    "SASL": lambda offer: " ".join(offer.auth) or None,
    "LOGIN-DELAY": lambda offer: _value(offer.login_delay, offer.per_user),
    "EXPIRE": lambda offer: _value(offer.expire, offer.per_user),
    # RFC 6856 section 2.2: names and passwords may be UTF-8, whether UTF8 was sent or not.
    "UTF8": lambda offer: "USER" if offer.utf8 else None,
    "IMPLEMENTATION": lambda offer: offer.implementation or None,
}

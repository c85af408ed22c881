"""What a server offers, and how it says so: the greeting, the answers to hello and HELP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from .reply import Reply
from .xclient import XCLIENT_ATTRIBUTES


@dataclass(frozen=True, slots=True)
class Offer:
    """What EHLO announces; the session replaces it after TLS and after AUTH.

    `size` is the largest message in octets, 0 for no limit (RFC 1870). `auth` are the mechanisms,
    () if there is no AUTH. `recipients` and `messages` are RCPTMAX and MAILMAX of RFC 9422, 0 for
    not announced; the session enforces them. `xclient` is True if this client may name another
    client, False if only other clients may, and None if no client may, so that XCLIENT is an
    unknown command.
    """

    size: int = 0
    starttls: bool = False
    auth: tuple[str, ...] = ()
    recipients: int = 0
    messages: int = 0
    xclient: bool | None = None


NO_OFFER = Offer()


@lru_cache(maxsize=64)
def greeting(hostname: str, lmtp: bool) -> Reply:
    """The 220 that opens a session."""
    return Reply(220, f"{hostname} {'LMTP' if lmtp else 'ESMTP'} ready")


@lru_cache(maxsize=64)
def helo(hostname: str) -> Reply:
    """The 250 to HELO."""
    return Reply(250, hostname)


@lru_cache(maxsize=64)
def hello(hostname: str, offer: Offer) -> Reply:
    """The 250 to EHLO or LHLO, with a line for each extension on offer."""
    lines = [f"{keyword} {words}".rstrip() for keyword, words in _offered(offer)]
    return Reply(250, "\n".join([hostname, *lines]))


@lru_cache(maxsize=64)
def helps(offer: Offer, lmtp: bool) -> Reply:
    """The 214 to HELP: which commands there are, those of extensions on offer among them."""
    first = ("LHLO",) if lmtp else ("HELO", "EHLO")
    added = [keyword for keyword, _ in _offered(offer) if keyword in _COMMANDS]
    return Reply(214, f"Commands: {' '.join((*first, *_ALWAYS_THERE, *added))}", "2.0.0")


def _offered(offer: Offer) -> Iterator[tuple[str, str]]:
    for keyword, words_of in _EXTENSIONS.items():
        words = words_of(offer)
        if words is not None:
            yield keyword, words


def _limits(offer: Offer) -> str:
    limits = [f"RCPTMAX={offer.recipients}"] if offer.recipients else []
    limits += [f"MAILMAX={offer.messages}"] if offer.messages else []
    return " ".join(limits)


def _always(_offer: Offer) -> str:
    return ""


#: In the order of the reply: an extension's keyword, and what follows it there, None if it is
#: not on offer.
_EXTENSIONS: Mapping[str, Callable[[Offer], str | None]] = {
    "PIPELINING": _always,
    "SIZE": lambda offer: str(offer.size or ""),
    "8BITMIME": _always,
    "STARTTLS": lambda offer: "" if offer.starttls else None,
    "AUTH": lambda offer: " ".join(offer.auth) or None,
    "XCLIENT": lambda offer: " ".join(XCLIENT_ATTRIBUTES) if offer.xclient else None,
    "LIMITS": lambda offer: _limits(offer) or None,
    "ENHANCEDSTATUSCODES": _always,
    "CHUNKING": _always,
    "BINARYMIME": _always,
    "SMTPUTF8": _always,
    "DSN": _always,
    "HELP": _always,
}
#: Extensions whose keyword is their command.
_COMMANDS = frozenset({"STARTTLS", "AUTH", "XCLIENT"})
_ALWAYS_THERE = ("MAIL", "RCPT", "DATA", "BDAT", "RSET", "VRFY", "NOOP", "HELP", "QUIT")

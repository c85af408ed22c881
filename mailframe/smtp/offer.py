"""What a server offers and how it announces that: the greeting and the replies to hello."""

from __future__ import annotations

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
    """The 250 to EHLO or LHLO, with a line for each extension that is offered."""
    lines = [hostname, "PIPELINING", f"SIZE {offer.size}" if offer.size else "SIZE", "8BITMIME"]
    lines += ["STARTTLS"] if offer.starttls else []
    lines += [f"AUTH {' '.join(offer.auth)}"] if offer.auth else []
    lines += [f"XCLIENT {' '.join(XCLIENT_ATTRIBUTES)}"] if offer.xclient else []
    limits = [f"RCPTMAX={offer.recipients}"] if offer.recipients else []
    limits += [f"MAILMAX={offer.messages}"] if offer.messages else []
    lines += [f"LIMITS {' '.join(limits)}"] if limits else []
    lines += ["ENHANCEDSTATUSCODES", "CHUNKING", "BINARYMIME", "SMTPUTF8", "DSN", "HELP"]
    return Reply(250, "\n".join(lines))

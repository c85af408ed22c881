"""Checks the header section of a message that comes in, and writes the fields on top of it."""

from __future__ import annotations

from functools import lru_cache

from ..message import Envelope
from ..mime import trace_fields
from ..mime.date import date_field
from ..mime.scan import Excess, HeaderScan
from ..mime.separator import Separator
from ..settings import Limits, Listener
from ..smtp.reply import MAIL_LOOP, Reply

HEADER_TOO_BIG = Reply(552, "Header section exceeds the limit", "5.3.4")

_REFUSALS: dict[Excess, Reply] = {"size": HEADER_TOO_BIG, "hops": MAIL_LOOP}


def scan(limits: Limits) -> HeaderScan:
    """The scan that checks a header section as it comes, by the limits of the listener."""
    return HeaderScan(limits.header_size, limits.header_lines, limits.hops)


def separator(listener: Listener) -> Separator:
    """A Separator, which ends the header section if necessary and removes `drop_fields`."""
    return Separator(_names(listener.drop_fields))


@lru_cache(maxsize=16)
def _names(names: tuple[str, ...]) -> frozenset[bytes]:
    return frozenset(name.lower().encode("ascii") for name in names)


def refusal(found: HeaderScan) -> Reply | None:
    """The refusal if the section is beyond a limit; None while it is not."""
    return None if found.excess is None else _REFUSALS[found.excess]


def received(envelope: Envelope, hostname: str) -> bytes:
    """The Received: field of this message (RFC 5321 section 4.4), folded, ended by CRLF.

    `for` is written only for a single recipient, so that Bcc recipients stay hidden.
    """
    client, mailbox = envelope.client, ""
    if len(envelope.recipients) == 1:
        address = envelope.recipients[0].original
        if address.is_ascii or envelope.smtputf8:
            mailbox = str(address)
    return trace_fields.received(
        client.hello,
        "" if client.address in ("unix", "unknown") else client.address,
        hostname,
        client.protocol,
        f"{client.tls.version} {client.tls.cipher}" if client.tls else "",
        envelope.id,
        mailbox,
        int(envelope.received),
        envelope.smtputf8,
        client.name,
    )


def missing(envelope: Envelope, hostname: str, found: HeaderScan) -> bytes:
    """The fields that a submitted message lacks: Message-ID: and Date: (RFC 6409 section 8)."""
    fields = b""
    if not found.count(b"message-id"):
        fields += trace_fields.message_id(envelope.id, hostname)
    if not found.count(b"date"):
        fields += date_field(int(envelope.received))
    return fields

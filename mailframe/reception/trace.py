"""The fields this host writes on top: Received: (RFC 5321 section 4.4), Message-ID:, Date:."""

from __future__ import annotations

import re
import time
from functools import lru_cache

from ..message import Client, Envelope

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9.:_\[\]\-]")
_NOT_IN_UTF8_NAMES = re.compile(r"[^A-Za-z0-9.:_\[\]\-\u00a1-\u167f\u1681-\u1fff\u3001-\ud7ff]")


@lru_cache(maxsize=4)
def date(second: int) -> str:
    """The date-time of RFC 5322 section 3.3, in UTC; `second` since the epoch."""
    year, month, day, hour, minute, sec, weekday, *_ = time.gmtime(second)
    clock = f"{hour:02}:{minute:02}:{sec:02} +0000"
    return f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year:04} {clock}"


def with_keyword(client: Client, smtputf8: bool) -> str:
    """The protocol as Received: names it (RFC 3848; RFC 6531 section 4.3 for SMTPUTF8)."""
    return f"UTF8{client.protocol.removeprefix('E')}" if smtputf8 else client.protocol


def received(envelope: Envelope, hostname: str) -> bytes:
    """The Received: field, folded, with CRLF.

    What the client said is cut to what names are made of, so that nothing can end the field
    or the comment it stands in. `for` shows only a single recipient: others' Bcc stay hidden.
    """
    client = envelope.client
    unsafe = _NOT_IN_UTF8_NAMES if envelope.smtputf8 else _NOT_IN_NAMES
    lines = [
        f"Received: from {unsafe.sub('?', client.hello)[:255] or 'unknown'}{_peer(client)}",
        f"\tby {hostname} with {with_keyword(client, envelope.smtputf8)}{_tls(client)}",
        f"\tid {envelope.id}",
    ]
    if len(envelope.recipients) == 1:
        address = envelope.recipients[0].original
        if address.is_ascii or envelope.smtputf8:
            lines.append(f"\tfor <{address}>")
    lines[-1] += ";"
    lines.append(f"\t{date(int(envelope.received))}\r\n")
    return "\r\n".join(lines).encode("utf-8" if envelope.smtputf8 else "ascii", "replace")


def _peer(client: Client) -> str:
    if client.address == "unix":
        return ""
    tag = "IPv6:" if ":" in client.address else ""
    return f" ([{tag}{client.address}])"


def _tls(client: Client) -> str:
    return f" ({client.tls.version} {client.tls.cipher})" if client.tls else ""


def message_id(envelope: Envelope, hostname: str) -> bytes:
    """A Message-ID: field (RFC 5322 section 3.6.4, RFC 6409 section 8.3)."""
    return f"Message-ID: <{envelope.id}@{hostname}>\r\n".encode("ascii", "replace")


def date_field(envelope: Envelope) -> bytes:
    """A Date: field of the time of reception (RFC 6409 section 8.2)."""
    return f"Date: {date(int(envelope.received))}\r\n".encode("ascii")

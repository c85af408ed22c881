"""The fields that a host adds on top of a message: Received: and, at submission, others."""

from __future__ import annotations

import re

from .date import date_time

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9.:_\[\]\-]")
_NOT_IN_UTF8_NAMES = re.compile(r"[^A-Za-z0-9.:_\[\]\-\u00a1-\u167f\u1681-\u1fff\u3001-\ud7ff]")


def with_keyword(protocol: str, utf8: bool) -> str:
    """The protocol's name in Received: (RFC 3848; RFC 6531 section 4.3 for SMTPUTF8)."""
    return f"UTF8{protocol.removeprefix('E')}" if utf8 else protocol


def received(
    hello: str,
    peer: str,
    hostname: str,
    protocol: str,
    tls: str,
    id: str,
    mailbox: str,
    second: int,
    utf8: bool = False,
    name: str = "",
) -> bytes:
    """The Received: field (RFC 5321 section 4.4), folded, ended by CRLF.

    `hello` is the name that the client gave, "" for none. `peer` is its IP address, "" if it has
    none, and `name` its name by DNS, "" if that is not known. `protocol` is the keyword of RFC
    3848. `tls` is the version and the cipher, "" without TLS. `mailbox` is the recipient, if it may
    be shown, else "". `second` is since the epoch. Of what the client said, only characters that
    occur in names are kept, so nothing can end the field or the comment in which it stands.
    Non-ASCII is kept if the message is SMTPUTF8 (`utf8`).
    """
    unsafe = _NOT_IN_UTF8_NAMES if utf8 else _NOT_IN_NAMES
    tag = "IPv6:" if ":" in peer else ""
    known = f"{unsafe.sub('?', name)[:255]} " if name else ""
    lines = [
        f"Received: from {unsafe.sub('?', hello)[:255] or 'unknown'}"
        + (f" ({known}[{tag}{peer}])" if peer else ""),
        f"\tby {hostname} with {with_keyword(protocol, utf8)}" + (f" ({tls})" if tls else ""),
        f"\tid {id}",
    ]
    if mailbox:
        lines.append(f"\tfor <{mailbox}>")
    lines[-1] += ";"
    lines.append(f"\t{date_time(second)}\r\n")
    return "\r\n".join(lines).encode("utf-8" if utf8 else "ascii", "replace")


def message_id(id: str, hostname: str) -> bytes:
    """A Message-ID: field (RFC 5322 section 3.6.4, RFC 6409 section 8.3), ended by CRLF."""
    return f"Message-ID: <{id}@{hostname}>\r\n".encode("ascii", "replace")

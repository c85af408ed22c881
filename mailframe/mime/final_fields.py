"""The fields that final delivery adds to a message, and those it looks for.

RFC 5321 section 4.4: the last host adds Return-Path. Delivered-To marks the mailboxes that a
message has been delivered to, so a message that comes back to one of them is known to loop.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from . import header

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def final_fields(sender: str, address: str, original: str = "") -> bytes:
    """Return-Path, Delivered-To and, if `original` is given, X-Original-To, ended by CRLF.

    `sender` "" is the null reverse-path.
    """
    lines = [f"Return-Path: <{sender}>", f"Delivered-To: {address}"]
    if original:
        lines.append(f"X-Original-To: {original}")
    return _fields(lines)


def forwarding_fields(addresses: Iterable[str]) -> bytes:
    """The fields that an alias adds to its copies: one Delivered-To for each of these addresses.

    If a copy comes back to the alias, they show that it loops, as in Postfix's local(8). Each field
    ends with CRLF.
    """
    return _fields([f"Delivered-To: {address}" for address in addresses])


def _fields(lines: list[str]) -> bytes:
    head = "".join(_CONTROL.sub("?", line) + "\r\n" for line in lines)
    return head.encode("utf-8", "replace")


def delivered_to(section: bytes) -> frozenset[bytes]:
    """The addresses in a header section's Delivered-To fields, ASCII letters in lower case."""
    if b"delivered-to" not in section.lower():
        return frozenset()
    return frozenset(
        field.text.lower() for field in header.read(section) if field.key == b"delivered-to"
    )


def is_among(address: str, seen: frozenset[bytes]) -> bool:
    """True if this address is one of those that `delivered_to` found."""
    return bool(seen) and address.encode("utf-8", "replace").lower() in seen

"""Reads a response: records, an alias to follow, or that there are none."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from twisted.names import dns

from ..names.records import MxRecord, TlsaRecord
from .cache import LONGEST, LONGEST_NEGATIVE
from .wire import TLSA, DnsQuestion

MAX_ALIASES = 8  # links of a CNAME chain, over all responses


@dataclass(frozen=True, slots=True)
class Reading:
    """`exists` is False for NXDOMAIN; `alias` is the end of a CNAME chain without its records.

    `ttl` is in seconds. If there are no records, it is how long that may be believed, and 0 without
    a SOA (RFC 2308 section 5: such an answer must not be cached). `links` counts aliases.
    """

    records: tuple[Any, ...]
    exists: bool
    alias: str | None
    ttl: int
    links: int


def read(question: DnsQuestion, response: dns.Message) -> Reading:
    """The records of the question's name, or of the name of which it is an alias."""
    name, ttl, links = question.name, LONGEST, 0
    answers: list[Any] = [record for record in response.answers if record.cls == dns.IN]
    while (link := _alias(answers, name)) is not None and links <= MAX_ALIASES:
        name, link_ttl = link
        ttl = min(ttl, link_ttl)
        links += 1
    if links > MAX_ALIASES:
        return Reading((), True, name, 0, links)
    own = [
        record
        for record in answers
        if record.type == question.type and _text(record.name.name) == name
    ]
    if own:
        rows = (_READERS[question.type](record.payload) for record in own)
        ttl = min(ttl, *(record.ttl for record in own))
        return Reading(tuple(row for row in rows if row is not None), True, None, ttl, links)
    exists = response.rCode != dns.ENAME
    alias = name if links and exists and not _has_soa(response) else None
    return Reading((), exists, alias, min(ttl, _negative_ttl(response)), links)


def _alias(answers: list[Any], name: str) -> tuple[str, int] | None:
    for record in answers:
        if record.type == dns.CNAME and _text(record.name.name) == name:
            return _text(record.payload.name.name), record.ttl
    return None


def _has_soa(response: dns.Message) -> bool:
    return any(record.type == dns.SOA for record in response.authority)


def _negative_ttl(response: dns.Message) -> int:
    """RFC 2308 section 5: the smaller of the SOA's TTL and its MINIMUM field."""
    for record in response.authority:
        if record.type == dns.SOA:
            payload: Any = record.payload
            return min(record.ttl, int(payload.minimum), LONGEST_NEGATIVE)
    return 0


def _text(name: bytes) -> str:
    """A name from DNS as text; octets beyond ASCII stay visible, so it is no valid domain name."""
    return name.decode("ascii", "backslashreplace").lower()


def _tlsa(payload: Any) -> TlsaRecord | None:
    octets: bytes = payload.data
    return TlsaRecord(octets[0], octets[1], octets[2], octets[3:]) if len(octets) > 3 else None


_READERS: Mapping[int, Callable[[Any], Any]] = {
    dns.A: lambda payload: payload.dottedQuad(),
    dns.AAAA: lambda payload: socket.inet_ntop(socket.AF_INET6, payload.address),
    dns.MX: lambda payload: MxRecord(payload.preference, _text(payload.name.name)),
    dns.TXT: lambda payload: b"".join(payload.data),
    dns.PTR: lambda payload: _text(payload.name.name),
    TLSA: _tlsa,
}

"""Questions and responses as octets: RFC 1035, EDNS0 of RFC 6891, the AD bit of RFC 6840."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from twisted.names import dns

from ..names.domains import to_ascii
from ..names.records import Unresolvable

UDP_PAYLOAD = 1232  # octets that are not fragmented anywhere (DNS flag day 2020)
TLSA = 52  # RFC 6698; Twisted has no constant for it

_RECURSION_DESIRED = 0x0100
_AUTHENTIC_DATA = 0x0020  # in a query it asks for the bit (RFC 6840 section 5.7)
_HEADER = struct.Struct("!6H")
_OPT = struct.pack("!BHHIH", 0, dns.OPT, UDP_PAYLOAD, 0, 0)


def wire_name(name: str) -> str:
    """The name as DNS has it: lower-case A-labels without a trailing dot.

    Raises Unresolvable for a text that can be no name. Underscores are allowed (RFC 8552).
    """
    labels = name.removesuffix(".").lower().split(".")
    try:
        labels = [label if label.isascii() else to_ascii(label) for label in labels]
    except ValueError as wrong:
        raise Unresolvable(f"{name!r} is not a domain name", temporary=False) from wrong
    ascii_name = ".".join(labels)
    if len(ascii_name) > 253 or not all(0 < len(label) < 64 for label in labels):
        raise Unresolvable(f"{name!r} is not a domain name", temporary=False)
    return ascii_name


@dataclass(frozen=True, slots=True)
class DnsQuestion:
    """A name (from `wire_name`) and a record type."""

    name: str
    type: int

    def __str__(self) -> str:
        return f"{self.name} {dns.QUERY_TYPES.get(self.type, 'TLSA')}"

    def to_bytes(self, id: int, edns: bool = True) -> bytes:
        """The query with this 16-bit id; without EDNS for servers that do not understand it."""
        header = _HEADER.pack(id, _RECURSION_DESIRED | _AUTHENTIC_DATA, 1, 0, 0, 1 if edns else 0)
        labels = [label.encode("ascii") for label in self.name.split(".")]
        name = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
        query = header + name + struct.pack("!HH", self.type, dns.IN)
        return query + _OPT if edns else query


def read_response(octets: bytes, question: DnsQuestion, id: int) -> dns.Message | None:
    """The response to exactly this question; None for anything else (forged, broken, stray)."""
    if len(octets) < _HEADER.size or int.from_bytes(octets[:2], "big") != id:
        return None
    message = dns.Message()
    try:
        message.fromStr(octets)
    except (ValueError, EOFError, struct.error, TypeError, IndexError):
        return None  # Twisted's decoders raise these for garbage
    if not message.answer or message.opCode != dns.OP_QUERY or not _asks(message, question):
        return None
    counts = _HEADER.unpack(octets[: _HEADER.size])[3:]
    sections = (message.answers, message.authority, message.additional)
    if not message.trunc and counts != tuple(map(len, sections)):
        return None  # Twisted reads a response that is cut short as far as it goes
    return message


def _asks(message: dns.Message, question: DnsQuestion) -> bool:
    """True if the response repeats the question (RFC 5452 section 9.1)."""
    if not message.queries:
        # RFC 1035 section 7.3: a server that could not read the query may leave it out.
        return message.rCode in (dns.EFORMAT, dns.ENOTIMP)
    if len(message.queries) != 1:
        return False
    asked: Any = message.queries[0]
    return bool(
        asked.name.name.lower() == question.name.encode("ascii")
        and asked.type == question.type
        and asked.cls == dns.IN
    )


def response_code(message: dns.Message) -> int:
    """The RCODE with its upper bits from the OPT record (RFC 6891 section 6.1.3)."""
    upper = next((record.ttl >> 24 for record in message.additional if record.type == dns.OPT), 0)
    return int(upper << 4 | message.rCode)

"""The PROXY protocol, versions 1 and 2: what a load balancer says of the client before it.

The specification is HAProxy's proxy-protocol.txt. Octets in, a Header out; no I/O. Whether the
peer may be believed is not known here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from ..names.ip import unmapped

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_V1 = b"PROXY "
_V1_MOST = 107  # octets, with CRLF: section 2.1
_V2_FIXED = struct.Struct("!12sBBH")
MAX_HEADER = 4096  # octets of version 2, whose length field allows 64 KB

# TLVs (section 2.2): type -> what it is called in Header.facts.
_AUTHORITY, _CRC32C, _UNIQUE_ID, _SSL = 0x02, 0x03, 0x05, 0x20
_SSL_VERSION, _SSL_CN, _SSL_CIPHER = 0x21, 0x22, 0x23
_SSL_CLIENT = 0x01  # a bit of the client field: the client connected over TLS
_IPV4, _IPV6, _UNIX = struct.Struct("!4s4sHH"), struct.Struct("!16s16sHH"), 216


class BadHeader(ValueError):
    """What came is no PROXY header; the message says why, without any of its octets."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a proxy said. `known` is False for LOCAL and UNKNOWN: the connection's own hold then.

    Addresses are IP addresses of one spelling, IPv4-mapped ones as IPv4, or "unix". `facts` are
    the TLVs that are understood: "authority" (the name asked by SNI), "unique_id", "tls_version",
    "tls_cipher", "tls_common_name" and "tls" ("yes" if the client connected over TLS).
    """

    known: bool
    source: str = ""
    source_port: int = 0
    destination: str = ""
    destination_port: int = 0
    facts: Mapping[str, str] = field(default_factory=dict)


def read_header(octets: bytes) -> tuple[Header, int] | None:
    """The header at the front of `octets` and how many of them it takes; None: more are needed.

    Raises BadHeader as soon as it is known that there will be none.
    """
    if _begins(octets, SIGNATURE):
        return _read_v2(octets)
    if _begins(octets, _V1):
        return _read_v1(octets)
    raise BadHeader("it does not begin as a PROXY header")


def _begins(octets: bytes, mark: bytes) -> bool:
    return octets[: len(mark)] == mark[: len(octets)]


def _read_v1(octets: bytes) -> tuple[Header, int] | None:
    end = octets.find(b"\r\n", 0, _V1_MOST)
    if end < 0:
        if len(octets) >= _V1_MOST or b"\n" in octets:
            raise BadHeader("its line does not end")
        return None
    try:
        words = octets[:end].decode("ascii").split(" ")
    except UnicodeDecodeError:
        raise BadHeader("its line is not ASCII") from None
    if words[1] == "UNKNOWN":
        return Header(known=False), end + 2
    try:
        _, family, *ends = words
        kind = _FAMILIES[family]
        source, destination, *ports = ends
        source_port, destination_port = (_port(text) for text in ports)
        header = Header(
            True,
            str(unmapped(kind(source))),
            source_port,
            str(unmapped(kind(destination))),
            destination_port,
        )
    except (ValueError, KeyError):
        raise BadHeader("its line is not well-formed") from None
    return header, end + 2


_FAMILIES: Mapping[str, type[IPv4Address] | type[IPv6Address]] = {
    "TCP4": IPv4Address,
    "TCP6": IPv6Address,
}


def _port(text: str) -> int:
    # Section 2.1: decimal, without leading zeros.
    if not text.isascii() or not text.isdigit() or (text[0] == "0" and text != "0"):
        raise ValueError(text)
    port = int(text)
    if port > 65535:
        raise ValueError(text)
    return port


def _read_v2(octets: bytes) -> tuple[Header, int] | None:
    if len(octets) < _V2_FIXED.size:
        return None
    _, command, family, length = _V2_FIXED.unpack_from(octets)
    end = _V2_FIXED.size + length
    if command >> 4 != 2 or command & 15 > 1:
        raise BadHeader("its version or command is unknown")
    if end > MAX_HEADER:
        raise BadHeader(f"it is longer than {MAX_HEADER} octets")
    if len(octets) < end:
        return None
    body = octets[_V2_FIXED.size : end]
    try:
        is_local = command & 15 == 0
        taken, header = _ends(family, body)
        facts = _facts(octets[:end], body[taken:]) if taken <= len(body) else {}
    except (struct.error, ValueError) as wrong:
        if isinstance(wrong, BadHeader):
            raise
        raise BadHeader("its addresses do not fit its length") from None
    if is_local or header is None:
        return Header(known=False, facts={} if is_local else facts), end
    return Header(True, *header, facts=facts), end


def _ends(family: int, body: bytes) -> tuple[int, tuple[str, int, str, int] | None]:
    """How many octets the addresses take, and what they are; None if the proxy does not know."""
    if family in (0x11, 0x21):
        form, kind = (_IPV4, IPv4Address) if family == 0x11 else (_IPV6, IPv6Address)
        source, destination, source_port, destination_port = form.unpack_from(body)
        ends = (
            str(unmapped(kind(source))),
            source_port,
            str(unmapped(kind(destination))),
            destination_port,
        )
        return form.size, ends
    if family == 0x31:
        if len(body) < _UNIX:
            raise BadHeader("its addresses do not fit its length")
        return _UNIX, ("unix", 0, "unix", 0)
    # UNSPEC, or what no TCP connection has: the receiver must use the real connection's.
    sizes = {0x1: _IPV4.size, 0x2: _IPV6.size, 0x3: _UNIX}
    return sizes.get(family >> 4, 0), None


def _facts(header: bytes, octets: bytes) -> dict[str, str]:
    """What the TLVs say. Raises BadHeader if they do not fit, or the checksum is not theirs."""
    facts: dict[str, str] = {}
    for kind, value, at in _tlvs(octets):
        if kind == _CRC32C:
            offset = len(header) - len(octets) + at
            blank = header[:offset] + bytes(4) + header[offset + 4 :]
            if len(value) != 4 or int.from_bytes(value, "big") != crc32c(blank):
                raise BadHeader("its checksum is wrong")
        elif kind == _AUTHORITY:
            facts["authority"] = _text(value)
        elif kind == _UNIQUE_ID:
            facts["unique_id"] = value[:128].hex()
        elif kind == _SSL:
            facts |= _tls(value)
    return facts


def _tls(value: bytes) -> dict[str, str]:
    if len(value) < 5:
        raise BadHeader("its TLS part is cut short")
    if not value[0] & _SSL_CLIENT:
        return {}
    facts = {"tls": "yes"}
    names = {_SSL_VERSION: "tls_version", _SSL_CN: "tls_common_name", _SSL_CIPHER: "tls_cipher"}
    for kind, text, _ in _tlvs(value[5:]):
        if kind in names:
            facts[names[kind]] = _text(text)
    return facts


def _tlvs(octets: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Type, value, and where the value begins."""
    at = 0
    while at < len(octets):
        if at + 3 > len(octets):
            raise BadHeader("a part of it is cut short")
        kind, length = octets[at], int.from_bytes(octets[at + 1 : at + 3], "big")
        at += 3
        if at + length > len(octets):
            raise BadHeader("a part of it is cut short")
        yield kind, octets[at : at + length], at
        at += length


def _text(octets: bytes) -> str:
    text = octets[:255].decode("utf-8", "replace")
    return "".join(each if each.isprintable() else "?" for each in text)


def write_v1(header: Header) -> bytes:
    """The line of version 1. ValueError for addresses that it cannot say."""
    if not header.known:
        return b"PROXY UNKNOWN\r\n"
    family = "TCP6" if ":" in header.source else "TCP4"
    words = (header.source, header.destination, header.source_port, header.destination_port)
    octets = f"PROXY {family} {' '.join(map(str, words))}\r\n".encode("ascii")
    if read_header(octets) != (Header(True, *_of(header)), len(octets)):
        raise ValueError(f"{header} cannot be said in version 1")
    return octets


def write_v2(header: Header, tlvs: bytes = b"") -> bytes:
    """A header of version 2 with these TLVs, spelled already. ValueError as for write_v1."""
    if not header.known:
        return _V2_FIXED.pack(SIGNATURE, 0x20, 0, len(tlvs)) + tlvs
    form, kind = (_IPV6, IPv6Address) if ":" in header.source else (_IPV4, IPv4Address)
    body = form.pack(
        kind(header.source).packed,
        kind(header.destination).packed,
        header.source_port,
        header.destination_port,
    )
    family = 0x21 if form is _IPV6 else 0x11
    return _V2_FIXED.pack(SIGNATURE, 0x21, family, len(body + tlvs)) + body + tlvs


def _of(header: Header) -> tuple[str, int, str, int]:
    return header.source, header.source_port, header.destination, header.destination_port


def _table() -> list[int]:
    table = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)
        table.append(number)
    return table


_CRC = _table()


def crc32c(octets: bytes) -> int:
    """The Castagnoli checksum (RFC 3720 appendix B.4)."""
    value = 0xFFFFFFFF
    for octet in octets:
        value = value >> 8 ^ _CRC[(value ^ octet) & 0xFF]
    return value ^ 0xFFFFFFFF

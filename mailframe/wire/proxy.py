"""The PROXY protocol, versions 1 and 2, by which a load balancer names the client.

The specification is HAProxy's proxy-protocol.txt. Octets in, a Header out; no I/O. The caller must
know whether the peer can be believed.
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
# Octets of version 2. Its length field allows 64 KB, but HAProxy sends a few hundred at most.
MAX_HEADER = 4096

# TLVs (section 2.2): type -> the name in Header.facts.
_AUTHORITY, _CRC32C, _UNIQUE_ID, _SSL = 0x02, 0x03, 0x05, 0x20
_SSL_VERSION, _SSL_CN, _SSL_CIPHER = 0x21, 0x22, 0x23
_SSL_CLIENT = 0x01  # a bit of the client field: the client connected over TLS
_IPV4, _IPV6, _UNIX = struct.Struct("!4s4sHH"), struct.Struct("!16s16sHH"), 216
_TCP4, _TCP6, _UNIX_STREAM = 0x11, 0x21, 0x31


class BadHeader(ValueError):
    """The octets are no PROXY header; the message says why, without any of them."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a proxy has said about the client.

    `known` is False for LOCAL and UNKNOWN, and for protocols without streams: then the connection's
    own addresses apply, and there are no facts.

    Addresses are IP addresses in one spelling, IPv4-mapped ones as IPv4, or "unix". `facts` are the
    TLVs that are understood: "authority" (the name that SNI asked for), "unique_id" (in hex), "tls"
    ("yes" if the client connected over TLS), "tls_version", "tls_cipher", and "tls_common_name",
    from a client certificate that the proxy has verified.
    """

    known: bool
    source: str = ""
    source_port: int = 0
    destination: str = ""
    destination_port: int = 0
    facts: Mapping[str, str] = field(default_factory=dict)


def read_header(octets: bytes) -> tuple[Header, int] | None:
    """The header at the front of `octets` and its length; None if more octets are needed.

    Raises BadHeader as soon as it is clear that there is none.
    """
    if _begins(octets, SIGNATURE):
        return _read_v2(octets)
    if _begins(octets, _V1):
        return _read_v1(octets)
    raise BadHeader("it does not begin as a PROXY header")


def _begins(octets: bytes, mark: bytes) -> bool:
    return octets[: len(mark)] == mark[: len(octets)]


def _read_v1(octets: bytes) -> tuple[Header, int] | None:
    end = octets.find(b"\n", 0, _V1_MOST) - 1
    if end < 0:
        if len(octets) >= _V1_MOST:
            raise BadHeader("its line does not end")
        return None
    # The first LF ends it, however the octets were cut; no address contains a bare one.
    if octets[end : end + 1] != b"\r":
        raise BadHeader("its line does not end in CRLF")
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
            _spelled(kind(source)),
            source_port,
            _spelled(kind(destination)),
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


def _spelled(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ValueError(f"the zone of {address} is of one host only")
    return str(unmapped(address))


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
    if command & 15 == 0:
        # LOCAL: the block is ignored, whatever family it names (section 2.2).
        return Header(known=False), end
    body = octets[_V2_FIXED.size : end]
    try:
        ends = _ends(family, body)
    except struct.error:
        raise BadHeader("its addresses do not fit its length") from None
    if ends is None:
        return Header(known=False), end
    taken, addresses = ends
    return Header(True, *addresses, facts=_facts(octets[:end], body[taken:])), end


def _ends(family: int, body: bytes) -> tuple[int, tuple[str, int, str, int]] | None:
    """How many octets the addresses take, and the addresses; None if the proxy does not know them.

    Raises struct.error if they are cut short.
    """
    if family in (_TCP4, _TCP6):
        form, kind = (_IPV4, IPv4Address) if family == _TCP4 else (_IPV6, IPv6Address)
        source, destination, source_port, destination_port = form.unpack_from(body)
        ends = _spelled(kind(source)), source_port, _spelled(kind(destination)), destination_port
        return form.size, ends
    if family == _UNIX_STREAM:
        if len(body) < _UNIX:
            raise struct.error
        return _UNIX, ("unix", 0, "unix", 0)
    if family >> 4 > 3 or family & 15 > 2:
        raise BadHeader("its address family or protocol is unknown")
    # UNSPEC, or datagrams, which no connection of ours uses: what is said about it is skipped.
    return None


def _facts(header: bytes, octets: bytes) -> dict[str, str]:
    """The facts in the TLVs. Raises BadHeader if they do not fit, or if their checksum is wrong."""
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
    names = {_SSL_VERSION: "tls_version", _SSL_CIPHER: "tls_cipher"}
    # Section 2.2.6: zero if the certificate was verified. In any other one the name may be
    # invented.
    if not any(value[1:5]):
        names[_SSL_CN] = "tls_common_name"
    for kind, text, _ in _tlvs(value[5:]):
        if kind in names:
            facts[names[kind]] = _text(text)
    return facts


def _tlvs(octets: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Type, value, and the position of the value."""
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
    """The line of version 1. ValueError for addresses that it cannot express."""
    if not header.known:
        return b"PROXY UNKNOWN\r\n"
    family = "TCP6" if ":" in header.source else "TCP4"
    words = (header.source, header.destination, header.source_port, header.destination_port)
    octets = f"PROXY {family} {' '.join(map(str, words))}\r\n".encode("ascii")
    if read_header(octets) != (Header(True, *_of(header)), len(octets)):
        raise ValueError(f"{header} cannot be said in version 1")
    return octets


def write_v2(header: Header, tlvs: bytes = b"") -> bytes:
    """A header of version 2 with these encoded TLVs; LOCAL if the client is not known.

    ValueError for addresses and ports that are none, and for more than MAX_HEADER octets. Paths of
    unix sockets are not written.
    """
    if not header.known:
        command, family, addresses = 0x20, 0, b""
    elif header.source == header.destination == "unix":
        command, family, addresses = 0x21, _UNIX_STREAM, bytes(_UNIX)
    else:
        command = 0x21
        family, addresses = _packed(header)
    body = addresses + tlvs
    if _V2_FIXED.size + len(body) > MAX_HEADER:
        raise ValueError(f"a header is no longer than {MAX_HEADER} octets")
    return _V2_FIXED.pack(SIGNATURE, command, family, len(body)) + body


def _packed(header: Header) -> tuple[int, bytes]:
    is_ipv6 = ":" in header.source
    form, kind = (_IPV6, IPv6Address) if is_ipv6 else (_IPV4, IPv4Address)
    ends = kind(header.source).packed, kind(header.destination).packed
    try:
        octets = form.pack(*ends, header.source_port, header.destination_port)
    except struct.error:
        raise ValueError(f"{header} has a port that is none") from None
    return _TCP6 if is_ipv6 else _TCP4, octets


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

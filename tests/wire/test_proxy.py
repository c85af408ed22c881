"""The PROXY protocol: what is read, any cut of it, and garbage."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailframe.wire.proxy import (
    MAX_HEADER,
    SIGNATURE,
    BadHeader,
    Header,
    crc32c,
    read_header,
    write_v1,
    write_v2,
)

V4 = Header(True, "192.0.2.7", 4711, "198.51.100.1", 25)
UNIX = Header(True, "unix", 0, "unix", 0)
V6 = Header(True, "2001:db8::7", 4711, "2001:db8::1", 25)


def tlv(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + len(value).to_bytes(2, "big") + value


@pytest.mark.parametrize(
    ("octets", "header"),
    [
        # the examples of section 2.1
        (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
         Header(True, "255.255.255.255", 65535, "255.255.255.255", 65535)),
        (b"PROXY UNKNOWN\r\n", Header(False)),
        (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", Header(False)),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 25\r\n", V6),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 4711 25\r\n", V4),
        (SIGNATURE + b"\x21\x11\x00\x0c" + bytes([192, 0, 2, 7, 198, 51, 100, 1])
         + (4711).to_bytes(2, "big") + (25).to_bytes(2, "big"), V4),
        (SIGNATURE + b"\x20\x00\x00\x00", Header(False)),
        (SIGNATURE + b"\x20\x11\x00\x0c" + bytes(12), Header(False)),
        # LOCAL is skipped whatever it says: section 2.2
        (SIGNATURE + b"\x20\x11\x00\x00", Header(False)),
        (SIGNATURE + b"\x20\xff\x00\x03\x03\x00\x09", Header(False)),
        (SIGNATURE + b"\x21\x00\x00\x00", Header(False)),
        (SIGNATURE + b"\x21\x00\x00\x02??", Header(False)),
        (SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216), Header(True, "unix", 0, "unix", 0)),
        (SIGNATURE + b"\x21\x12\x00\x0c" + bytes(12), Header(False)),
    ],
)  # fmt: skip
def test_headers(octets: bytes, header: Header) -> None:
    """Each is read, and what stands behind it is left."""
    assert read_header(octets + b"EHLO x\r\n") == (header, len(octets))


@pytest.mark.parametrize(
    "octets",
    [
        b"EHLO x\r\n",
        b"GET / HTTP/1.0\r\n",
        b"proxy TCP4 192.0.2.7 192.0.2.1 1 25\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 1\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 1 25 9\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 1 25\r\n",
        b"PROXY TCP6 192.0.2.7 192.0.2.1 1 25\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 65536 25\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 01 25\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 1 25\n",
        b"PROXY  TCP4 192.0.2.7 192.0.2.1 1 25\r\n",
        b"PROXY UDP4 192.0.2.7 192.0.2.1 1 25\r\n",
        b"PROXY TCP4 " + b"1" * 107,
        b"PROXY \xff\r\n",
        b"PROXY UNKNOWN a\nb\r\n",
        b"PROXY TCP6 fe80::1%a\nb ::1 1 25\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 1 25\r\n",
        b"PROXY TCP6 ::1 fe80::1%eth0 1 25\r\n",
        SIGNATURE + b"\x11\x11\x00\x0c" + bytes(12),
        SIGNATURE + b"\x22\x11\x00\x0c" + bytes(12),
        SIGNATURE + b"\x21\x11\x00\x0b" + bytes(11),
        SIGNATURE + b"\x21\x31\x00\x0b" + bytes(11),
        SIGNATURE + b"\x21\x41\x00\x00",
        SIGNATURE + b"\x21\x13\x00\x0c" + bytes(12),
        SIGNATURE + b"\x21\x11" + MAX_HEADER.to_bytes(2, "big"),
        SIGNATURE + b"\x21\x11\x00\x0e" + bytes(12) + b"\x01\x00",
        SIGNATURE + b"\x21\x11\x00\x0f" + bytes(12) + b"\x01\x00\x01",
        write_v2(V4, tlv(0x03, b"\0\0\0\1")),
        write_v2(V4, tlv(0x20, b"\1\0")),
    ],
)
def test_no_header(octets: bytes) -> None:
    """Refused as soon as it is known, and never with the peer's own octets in the words."""
    with pytest.raises(BadHeader, match=r"^(it|its|a part) "):
        read_header(octets)


def test_parts() -> None:
    """What the proxy knows of TLS, the name that was asked for, and the id."""
    inner = tlv(0x21, b"TLSv1.3") + tlv(0x22, b"alice\r\n") + tlv(0x23, b"AES") + tlv(0x99, b"?")
    parts = (
        tlv(0x02, b"mx.example.org")
        + tlv(0x05, b"\x01\xff")
        + tlv(0x20, b"\x01\0\0\0\0" + inner)
        + tlv(0xE0, b"own")
        + tlv(0x04, bytes(20))
    )
    header, _ = read_header(write_v2(V6, parts)) or (None, 0)
    assert header is not None and header.facts == {
        "authority": "mx.example.org",
        "unique_id": "01ff",
        "tls": "yes",
        "tls_version": "TLSv1.3",
        "tls_common_name": "alice??",
        "tls_cipher": "AES",
    }
    header, _ = read_header(write_v2(V6, tlv(0x20, b"\0\0\0\0\0" + inner))) or (None, 0)
    assert header is not None and header.facts == {}


def test_a_certificate_that_was_not_verified() -> None:
    """Its name is nobody's: only a `verify` of zero says that the proxy knows it (2.2.6)."""
    inner = tlv(0x21, b"TLSv1.3") + tlv(0x22, b"alice")
    for verify in (b"\0\0\0\1", b"\1\0\0\0", b"\0\0\0\x12"):
        header, _ = read_header(write_v2(V4, tlv(0x20, b"\3" + verify + inner))) or (None, 0)
        assert header is not None and header.facts == {"tls": "yes", "tls_version": "TLSv1.3"}
    header, _ = read_header(write_v2(V4, tlv(0x20, b"\3\0\0\0\0" + inner))) or (None, 0)
    assert header is not None and header.facts["tls_common_name"] == "alice"


def test_checksum() -> None:
    """RFC 3720's vectors; a header with its own is taken."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    blank = write_v2(V4, tlv(0x03, bytes(4)) + tlv(0x05, b"x"))
    value = crc32c(blank).to_bytes(4, "big")
    whole = write_v2(V4, tlv(0x03, value) + tlv(0x05, b"x"))
    header, end = read_header(whole) or (None, 0)
    assert header is not None and header.source == V4.source and end == len(whole)


@pytest.mark.parametrize(
    "octets",
    [write_v1(V4), write_v1(V6), write_v2(V4), write_v2(V6, tlv(5, b"x")), write_v2(UNIX)],
)
def test_any_cut(octets: bytes) -> None:
    """Until it is whole nothing is said."""
    for cut in range(len(octets)):
        assert read_header(octets[:cut]) is None
    assert read_header(octets) is not None


@given(st.ip_addresses(v=6), st.ip_addresses(v=6), st.integers(0, 65535), st.integers(0, 65535))
def test_written_and_read(source, destination, source_port: int, destination_port: int) -> None:
    """What is written is read back, IPv4-mapped addresses as IPv4."""
    text = Header(True, str(source), source_port, str(destination), destination_port)
    read = read_header(write_v2(text))
    assert read is not None and read[0].source_port == source_port
    assert read[0].source in (str(source), str(source.ipv4_mapped))


@pytest.mark.parametrize("write", [write_v1, write_v2])
@pytest.mark.parametrize("header", [V4, V6, Header(False)])
def test_both_versions_say_the_same(write: Callable[[Header], bytes], header: Header) -> None:
    """All that a header without parts holds."""
    octets = write(header)
    assert read_header(octets) == (header, len(octets))


def test_what_is_not_written() -> None:
    """A header that would not be read back is a ValueError."""
    for header in (
        Header(True, "192.0.2.7", 65536, "192.0.2.1", 25),
        Header(True, "192.0.2.7", -1, "192.0.2.1", 25),
        Header(True, "192.0.2.7", 1, "2001:db8::1", 25),
        Header(True, "2001:db8::7", 1, "192.0.2.1", 25),
        Header(True, "unix", 0, "192.0.2.1", 25),
        Header(True, "x\r\n", 1, "192.0.2.1", 25),
    ):
        for write in (write_v1, write_v2):
            with pytest.raises(ValueError):
                write(header)
    with pytest.raises(ValueError):
        write_v1(UNIX)
    assert len(write_v2(V4, bytes(MAX_HEADER - 28))) == MAX_HEADER
    with pytest.raises(ValueError, match="no longer than"):
        write_v2(V4, bytes(MAX_HEADER - 27))


def outcome(octets: bytes) -> object:
    """What is read of octets that come together."""
    try:
        return read_header(octets)
    except BadHeader:
        return BadHeader


@given(
    st.sampled_from([b"PROXY ", b"PROXY UNKNOWN", b"PROXY TCP6 ::1 ::1", SIGNATURE + b"\x21\x11"]),
    st.lists(st.sampled_from([b" ", b"1", b"25", b"\r", b"\n", b"\r\n", b"a", b"\0"]), max_size=20),
)
def test_no_cut_matters(front: bytes, pieces: list[bytes]) -> None:
    """Read octet by octet, it is the same header, or the same refusal, as read whole."""
    octets = front + b"".join(pieces)
    whole = outcome(octets)
    earlier = (outcome(octets[:cut]) for cut in range(len(octets) + 1))
    assert next((each for each in earlier if each is not None), None) == whole


@given(
    st.sampled_from([b"", b"PROXY ", SIGNATURE, SIGNATURE + b"\x21\x11"]), st.binary(max_size=300)
)
def test_garbage(front: bytes, octets: bytes) -> None:
    """A header, more wanted, or BadHeader: nothing else."""
    try:
        read = read_header(front + octets)
    except BadHeader:
        return
    assert read is None or read[1] <= len(front + octets)

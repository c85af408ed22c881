"""XCLIENT as a value: what is read, and what is written is read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailframe.smtp.command import Xclient
from mailframe.smtp.grammar import Unwritable, parse_command, write_command
from mailframe.smtp.reply import Reply
from mailframe.smtp.xclient import XCLIENT_ATTRIBUTES


def test_what_is_read() -> None:
    """Values are decoded, addresses and ports are of one spelling, the unknown is None."""
    line = (
        b"xclient NAME=[TEMPUNAVAIL] ADDR=IPV6:2001:DB8:0::1 PORT=025 PROTO=esmtp"
        b" HELO=my+20host LOGIN=[UNAVAILABLE] DESTADDR=192.0.2.1 DESTPORT=25"
    )
    assert parse_command(line) == Xclient(
        {
            "NAME": None, "ADDR": "2001:db8::1", "PORT": "25", "PROTO": "ESMTP",
            "HELO": "my host", "LOGIN": None, "DESTADDR": "192.0.2.1", "DESTPORT": "25",
        }
    )  # fmt: skip


def test_one_spelling_of_an_address() -> None:
    """A client that came by IPv6 as IPv4 is the IPv4 client; a zone is no part of an address."""
    for line in (b"XCLIENT ADDR=::ffff:192.0.2.1", b"XCLIENT ADDR=IPV6:::FFFF:c000:201"):
        assert parse_command(line) == Xclient({"ADDR": "192.0.2.1"})
    for address in (b"fe80::1%eth0", b"IPV6:fe80::1%<x>", b"192.0.2.1%1", b"IPV6:", b"192.0.2"):
        for name in (b"ADDR=", b"DESTADDR="):
            assert isinstance(parse_command(b"XCLIENT " + name + address), Reply)


def test_the_last_of_two_counts() -> None:
    """As in Postfix."""
    assert parse_command(b"XCLIENT PORT=1 PORT=2") == Xclient({"PORT": "2"})


@pytest.mark.parametrize("value", ["", "a" * 256, "[unknown", "-"])
def test_names_that_are_none(value: str) -> None:
    """501, whatever is wrong."""
    assert isinstance(parse_command(f"XCLIENT NAME={value}".encode()), Reply)


_ADDRESSES = st.ip_addresses().map(lambda ip: str(getattr(ip, "ipv4_mapped", None) or ip))
_VALUES = {
    "ADDR": _ADDRESSES,
    "DESTADDR": _ADDRESSES,
    "PORT": st.integers(0, 65535).map(str),
    "DESTPORT": st.integers(0, 65535).map(str),
    "PROTO": st.sampled_from(["SMTP", "ESMTP"]),
    "NAME": st.from_regex(r"[a-z0-9][a-z0-9.-]{0,40}[a-z0-9]", fullmatch=True),
}
_LETTERS = st.characters(min_codepoint=32, exclude_categories=["C", "Z"])
_TEXT = st.text(_LETTERS, min_size=1, max_size=60)
_UNKNOWN = ("[UNAVAILABLE]", "[TEMPUNAVAIL]")


def _attributes(names: set[str]) -> st.SearchStrategy[dict[str, str | None]]:
    return st.fixed_dictionaries({name: st.none() | _VALUES.get(name, _TEXT) for name in names})


@given(st.sets(st.sampled_from(XCLIENT_ATTRIBUTES), min_size=1).flatmap(_attributes))
def test_what_is_written_is_read_back(attributes: dict[str, str | None]) -> None:
    """Or it is not written."""
    command = Xclient(attributes)
    try:
        octets = write_command(command)
    except Unwritable:
        # "[UNAVAILABLE]" itself has no spelling of its own
        assert any(
            (value or "").upper() in ("[UNAVAILABLE]", "[TEMPUNAVAIL]")
            for value in attributes.values()
        )
        return
    assert parse_command(octets.removesuffix(b"\r\n")) == command


@given(st.binary(max_size=200))
def test_garbage_never_raises(octets: bytes) -> None:
    """It is the command, or a reply that refuses it."""
    line = b"XCLIENT " + octets.replace(b"\n", b"")
    assert isinstance(parse_command(line), Xclient | Reply)

"""Which addresses are this host's own."""

from __future__ import annotations

import socket

import pytest

from mailframe.host.own_addresses import OwnAddresses


def own(**ports: tuple[str, int]) -> OwnAddresses:
    return OwnAddresses(lambda: ports, lambda: 0.0)


def test_a_listener_at_an_address() -> None:
    """It is that address in any spelling, at that port."""
    ours = own(mx=("192.0.2.1", 25), six=("2001:db8::1", 25), lmtp=("/run/lmtp", 0))
    assert ours.has("192.0.2.1", 25)
    assert ours.has("2001:DB8:0::1", 25)
    assert not ours.has("192.0.2.1", 587)
    assert not ours.has("192.0.2.2", 25)
    assert not ours.has("127.0.0.1", 25)


def test_a_listener_at_all_addresses() -> None:
    """It has those of this machine and no others, though nothing is sent to find out."""
    ours = own(mx=("0.0.0.0", 25))
    assert ours.has("127.0.0.1", 25)
    assert ours.has("127.0.0.99", 25)
    for foreign in ("192.0.2.1", "9.9.9.9", "2001:db8::1", "::1", "255.255.255.255"):
        assert not ours.has(foreign, 25)
    assert not ours.has("127.0.0.1", 26)
    assert own(mx=("::", 25)).has("127.0.0.1", 25)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_a_listener_at_all_addresses_of_ipv6() -> None:
    """The same for IPv6, where this machine has it."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no ::1 here")
    assert own(mx=("::", 25)).has("::1", 25)
    assert not own(mx=("0.0.0.0", 25)).has("::1", 25)


def test_what_is_bound_counts_now() -> None:
    """Ports come after the plugins, and an address may come to a machine."""
    ports: dict[str, tuple[str, int]] = {}
    ours = OwnAddresses(lambda: ports, lambda: 0.0)
    assert not ours.has("192.0.2.1", 25)
    ports["mx"] = ("192.0.2.1", 25)
    assert ours.has("192.0.2.1", 25)

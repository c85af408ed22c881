"""IP addresses and networks in one spelling, however they came."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailframe.names.ip import (
    CUSTOMER,
    NetworkSet,
    customer_of,
    ip_or_none,
    parse_ip,
    parse_network,
    unmapped,
)

IPV4 = st.integers(0, 2**32 - 1).map(IPv4Address)
IPV6 = st.integers(0, 2**128 - 1).map(IPv6Address)
ZONES = st.sampled_from(["", "%eth0", "%1"])


@given(IPV4 | IPV6, ZONES)
def test_whatever_the_spelling_it_is_one_address(
    address: IPv4Address | IPv6Address, zone: str
) -> None:
    """Long or short, in capitals, with a zone, mapped into IPv6: the same address."""
    spellings = [str(address), address.exploded]
    if address.version == 4:
        spellings += [
            f"::ffff:{address}{zone}",
            f"::FFFF:{int(address) >> 16:X}:{int(address) & 65535:x}",
        ]
    else:
        spellings += [f"{address}{zone}", address.exploded.upper()]
    assert {parse_ip(text) for text in spellings} == {unmapped(address)}


@given(IPV4 | IPV6)
def test_one_spelling_is_read_back(address: IPv4Address | IPv6Address) -> None:
    """What is parsed and written is parsed to the same; nothing is mapped twice."""
    parsed = parse_ip(str(address))
    assert parse_ip(str(parsed)) == parsed
    assert parsed.version == 4 or parsed.ipv4_mapped is None


@given(st.text(max_size=50))
def test_text_is_an_address_or_none(text: str) -> None:
    """Nothing but ValueError is raised, and `ip_or_none` raises nothing."""
    try:
        parsed = parse_ip(text)
    except ValueError:
        assert ip_or_none(text) is None
    else:
        assert ip_or_none(text) == parsed


@pytest.mark.parametrize("text", ["", "unix", "unknown", "localhost", "192.0.2", "192.0.2.1%eth0"])
def test_what_is_no_address(text: str) -> None:
    """Names, parts of addresses, and a zone of an IPv4 address."""
    assert ip_or_none(text) is None
    with pytest.raises(ValueError):
        parse_ip(text)


@given(IPV6, st.integers(0, 2 ** (128 - CUSTOMER) - 1))
def test_a_customer_has_a_network(address: IPv6Address, host: int) -> None:
    """All addresses of one /64 network are one customer, and no other ones are."""
    network = ip_network((address, CUSTOMER), strict=False)
    assert customer_of(address) == str(network)
    assert customer_of(network[host]) == str(network)
    other = IPv6Address(int(address) ^ 1 << (128 - CUSTOMER))
    assert customer_of(other) != str(network)


def test_an_ipv4_address_is_a_customer() -> None:
    """Its neighbour is another one."""
    assert customer_of(parse_ip("::ffff:192.0.2.1")) == "192.0.2.1"


@given(IPV4, st.integers(0, 32))
def test_a_mapped_network_is_an_ipv4_network(address: IPv4Address, length: int) -> None:
    """::ffff:192.0.2.0/120 is 192.0.2.0/24."""
    network = ip_network((address, length), strict=False)
    mapped = f"::ffff:{network.network_address}/{length + 96}"
    assert parse_network(mapped) == parse_network(str(network)) == network


def test_a_network_with_bits_beyond_its_mask() -> None:
    """The advice names the network that was meant."""
    with pytest.raises(ValueError, match=r"^'192\.0\.2\.1/24': has bits .*'192\.0\.2\.0/24'"):
        parse_network("192.0.2.1/24")


@pytest.mark.parametrize("text", ["", "unix", "192.0.2.0/33", "::/129", "example.org"])
def test_what_is_no_network(text: str) -> None:
    """ValueError with the text."""
    with pytest.raises(ValueError, match=f"^'{text}': not an address or network"):
        parse_network(text)


@given(IPV4 | IPV6, st.integers(0, 32))
def test_a_set_has_the_addresses_of_its_networks(
    address: IPv4Address | IPv6Address, length: int
) -> None:
    """Whichever way the address is spelled."""
    network = parse_network(str(ip_network((address, length), strict=False)))
    networks = NetworkSet([str(network)])
    assert networks and str(address) in networks
    assert "unix" not in networks and "unknown" not in networks


def test_a_set_of_networks() -> None:
    """Addresses alone, networks, both kinds; unix sockets only if they are named."""
    networks = NetworkSet(["192.0.2.0/24", "2001:db8::1", "unix"])
    for address in ("192.0.2.255", "::ffff:192.0.2.1", "2001:db8::1", "unix"):
        assert address in networks, address
    for address in ("192.0.3.0", "2001:db8::2", "", "unknown"):
        assert address not in networks, address
    assert NetworkSet(["unix"]) and not NetworkSet([])
    with pytest.raises(ValueError, match="localhost"):
        NetworkSet(["localhost"])

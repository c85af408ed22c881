"""Endpoints as operators write them."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactor

from mailframe.wire.endpoint import as_twisted_reads_it


@pytest.mark.parametrize(
    ("endpoint", "port", "interface"),
    [
        ("tcp:25", 25, ""),
        ("tcp:587:interface=::", 587, "::"),
        ("tcp:587:interface=[::1]", 587, "::1"),
        ("tcp:587:interface=2001:db8::be:backlog=100", 587, "2001:db8::be"),
        ("tcp:interface=fe80::1%eth0:port=587", 587, "fe80::1%eth0"),
        (r"tcp:587:interface=\:\:1", 587, "::1"),
        ("tcp:587:interface=192.0.2.1", 587, "192.0.2.1"),
        ("tcp6:25", 25, "::"),
        ("tcp6:25:interface=::1", 25, "::1"),
        ("[::]:587", 587, "::"),
        ("[2001:db8::1]:25", 25, "2001:db8::1"),
        ("192.0.2.1:25", 25, "192.0.2.1"),
    ],
)
def test_where_it_is(endpoint: str, port: int, interface: str) -> None:
    """IPv6 addresses are written as they are everywhere else."""
    reactor: Any = MemoryReactor()
    serverFromString(reactor, as_twisted_reads_it(endpoint)).listen(Factory())
    ((bound, _, _, where),) = reactor.tcpServers
    assert (bound, where) == (port, interface)


@pytest.mark.parametrize(
    "endpoint",
    ["unix:/run/x", "tcp:1:interface=::x", "[192.0.2.1]:25", "[]:25", "2001:db8::1:25", "x", ""],
)
def test_the_rest_is_left_to_twisted(endpoint: str) -> None:
    """What is no address is not touched: Twisted says what is wrong with it."""
    assert as_twisted_reads_it(endpoint) == endpoint

"""Which hosts and addresses are dialled for a next hop, and which never."""

from __future__ import annotations

from collections.abc import Coroutine
from random import Random
from typing import Any

import pytest
from scripted_peer import Zone
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailframe.message import NextHop
from mailframe.resolver import Unresolvable
from mailframe.transmission.exchanges import Exchanges, Nowhere, Target
from mailframe.wire.routable import is_public

INSIDE = (
    *("127.0.0.1", "127.255.0.1", "10.1.1.1", "172.16.0.1", "192.168.0.1", "100.64.0.1"),
    *("169.254.169.254", "224.0.0.1", "0.0.0.0", "255.255.255.255", "240.0.0.1", "192.0.2.1"),
    *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00::1", "fec0::1", "ff02::1"),
    *("2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1"),
    *("2002:7f00:1::", "2002:a00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "no-address"),
)


@pytest.mark.parametrize(
    "address",
    ["9.9.9.9", "2620:fe::fe", "::ffff:9.9.9.9", "64:ff9b::909:909", "2002:909:909::"],
)
def test_public_addresses(address: str) -> None:
    """Unicast addresses of the Internet, also those that carry one of IPv4."""
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    INSIDE,
)
def test_addresses_that_no_stranger_may_name(address: str) -> None:
    """Each is inside, nowhere, or everywhere."""
    assert not is_public(address)


class ExchangesCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.zone = Zone()
        self.exchanges = Exchanges(self.zone, "us.example", Random(3))

    def run_now(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def refused(self, coroutine: Coroutine[Any, Any, Any]) -> str:
        failure = self.failureResultOf(Deferred.fromCoroutine(coroutine), Nowhere)
        return f"{failure.value.reply.code} {failure.value.reply.status}"

    def hosts(self, domain: str = "x.example") -> Any:
        return self.run_now(self.exchanges.hosts(NextHop(domain)))


class TestHosts(ExchangesCase):
    def test_by_preference_and_equals_by_chance(self) -> None:
        """RFC 5321 section 5.1."""
        self.zone.mxs["x.example"] = [
            (20, "z.x"),
            (10, "a.x"),
            (10, "B.x."),
            (10, "c.x"),
            (5, "y.x"),
        ]
        orders = set()
        for _ in range(60):
            first, *equals, last = self.hosts()
            assert (first, last, sorted(equals)) == ("y.x", "z.x", ["a.x", "b.x", "c.x"])
            orders.add(tuple(equals))
        assert len(orders) == 6

    def test_without_mx_the_domain_itself(self) -> None:
        """RFC 5321 section 5.1: the implicit MX."""
        assert self.hosts("X.example.") == ["x.example"]

    def test_null_mx_means_no_mail(self) -> None:
        """RFC 7505 section 3, in both spellings; beside others it says nothing."""
        for null in ("", "."):
            self.zone.mxs["x.example"] = [(0, null)]
            assert self.refused(self.exchanges.hosts(NextHop("x.example"))) == "556 5.1.10"
        self.zone.mxs["x.example"] = [(0, "."), (10, "a.x")]
        assert self.hosts() == ["a.x"]

    def test_nothing_leads_back_to_us(self) -> None:
        """RFC 5321 section 5.1: we, and who is no better than we, are left out."""
        self.zone.mxs["x.example"] = [(5, "a.x"), (10, "US.example"), (10, "b.x"), (20, "c.x")]
        assert self.hosts() == ["a.x"]
        self.zone.mxs["x.example"] = [(10, "us.example"), (20, "c.x")]
        assert self.refused(self.exchanges.hosts(NextHop("x.example"))) == "554 5.4.6"
        assert self.refused(self.exchanges.hosts(NextHop("us.example"))) == "554 5.4.6"

    def test_names_that_dns_does_not_know(self) -> None:
        """NXDOMAIN is for good, SERVFAIL for now, and what is no name is for good."""
        self.zone.mxs["x.example"] = Unresolvable("", temporary=False)
        assert self.refused(self.exchanges.hosts(NextHop("x.example"))) == "550 5.1.2"
        self.zone.mxs["x.example"] = Unresolvable("", temporary=True)
        assert self.refused(self.exchanges.hosts(NextHop("x.example"))) == "451 4.4.3"
        assert self.refused(self.exchanges.hosts(NextHop("é" * 80 + ".example"))) == "550 5.1.2"

    def test_internationalized_domains_are_asked_in_ascii(self) -> None:
        """RFC 5891; an exchange whose name is none is kept for what it is."""
        self.zone.mxs["xn--bcher-kva.example"] = [(1, "a.x"), (2, "é" * 80)]
        assert self.hosts("bücher.example") == ["a.x", "é" * 80]

    def test_hosts_literals_and_sockets_are_themselves(self) -> None:
        """Nothing is asked for them."""
        assert self.run_now(self.exchanges.hosts(NextHop("H.example", "host"))) == ["h.example"]
        assert self.run_now(self.exchanges.hosts(NextHop("/run/x", "unix"))) == ["/run/x"]
        assert self.hosts("[9.9.9.9]") == ["[9.9.9.9]"]


class TestTargets(ExchangesCase):
    def targets(self, host: str, hop: NextHop | None = None) -> list[Target]:
        found: list[Target] = self.run_now(
            self.exchanges.targets(host, hop or NextHop("x.example"))
        )
        return found

    def test_both_families_in_turns(self) -> None:
        """All addresses, and neither family last of all."""
        self.zone.hosts["a.x"] = ["2620:fe::1", "2620:fe::2", "2620:fe::3", "9.9.9.9", "9.9.9.10"]
        found = self.targets("a.x")
        assert ["6" if ":" in target.address else "4" for target in found] == list("64646")
        assert {target.port for target in found} == {25}
        assert str(found[1]).startswith("a.x[9.9.9.")

    def test_the_next_hop_says_port_tls_and_login(self) -> None:
        """They make connections that are not mixed up with others."""
        self.zone.hosts["a.x"] = ["9.9.9.9"]
        hop = NextHop("a.x", "host", 587, "verify", "u", "p", private=True)
        assert self.targets("a.x", hop) == [
            Target("a.x", "9.9.9.9", 587, "verify", "u", "p", private=True)
        ]
        assert "'p'" not in repr(self.targets("a.x", hop))

    def test_literals_and_addresses(self) -> None:
        """RFC 5321 section 4.1.3; what is in the brackets must be an address."""
        assert self.targets("[9.9.9.9]") == [Target("9.9.9.9", "9.9.9.9", 25, "opportunistic")]
        assert self.targets("[ipv6:2620:fe::fe]")[0].address == "2620:fe::fe"
        assert str(self.targets("9.9.9.9")[0]) == "9.9.9.9"
        wrong = self.exchanges.targets("[x-tag:what]", NextHop("[x-tag:what]"))
        assert self.refused(wrong) == "550 5.1.2"

    def test_sockets_have_no_port(self) -> None:
        """A unix socket is its own address."""
        assert self.targets("/run/x", NextHop("/run/x", "unix"))[0].port == 0

    def test_private_addresses_are_dialled_on_the_operators_word_only(self) -> None:
        """A stranger's MX that points inside leads nowhere."""
        self.zone.hosts["a.x"] = ["127.0.0.1", "10.0.0.1", "::1"]
        hop = NextHop("x.example")
        assert self.refused(self.exchanges.targets("a.x", hop)) == "550 5.4.4"
        assert self.refused(self.exchanges.targets("[127.0.0.1]", hop)) == "550 5.4.4"
        assert len(self.targets("a.x", NextHop("x.example", private=True))) == 3
        self.exchanges = Exchanges(self.zone, "us.example", Random(3), private=True)
        assert len(self.targets("a.x")) == 3
        self.exchanges = Exchanges(self.zone, "us.example", Random(3))
        self.zone.hosts["a.x"] = ["127.0.0.1", "9.9.9.9"]
        assert [target.address for target in self.targets("a.x")] == ["9.9.9.9"]

    def test_our_own_listeners_are_not_dialled(self) -> None:
        """Address and port of one of ours: mail would come back."""
        self.zone.hosts["a.x"] = ["9.9.9.9", "9.9.9.10"]
        self.exchanges = Exchanges(
            self.zone, "us.example", Random(3), is_own=lambda a, port: (a, port) == ("9.9.9.9", 25)
        )
        hop = NextHop("x.example")
        assert self.refused(self.exchanges.targets("a.x", hop)) == "554 5.4.6"
        self.zone.hosts["a.x"] = ["9.9.9.10"]
        assert [target.address for target in self.targets("a.x")] == ["9.9.9.10"]
        self.zone.hosts["a.x"] = ["9.9.9.9"]
        assert self.refused(self.exchanges.targets("a.x", hop)) == "554 5.4.6"
        assert len(self.targets("a.x", NextHop("x.example", port=26))) == 1
        assert len(self.targets("a.x", NextHop("a.x", "host"))) == 1

    def test_hosts_without_an_address(self) -> None:
        """No such host, none of its own, and no answer now."""
        hop = NextHop("x.example")
        self.zone.hosts["none.x"] = []
        self.zone.hosts["later.x"] = Unresolvable("", temporary=True)
        assert self.refused(self.exchanges.targets("none.x", hop)) == "550 5.4.4"
        assert self.refused(self.exchanges.targets("gone.x", hop)) == "550 5.1.2"
        assert self.refused(self.exchanges.targets("later.x", hop)) == "451 4.4.3"

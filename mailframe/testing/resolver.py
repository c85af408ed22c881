"""The contract of a resolver, as a test for every implementation."""

from __future__ import annotations

from typing import Any

from ..interfaces.resolver import IResolver
from ..names.records import Answer, MxRecord, TlsaRecord, Unresolvable
from .contract import Contract

#: The zone whose records the resolver must find (`mailframe.testing.zone`).
RESOLVER_ZONE = """
example.org             MX    10 MX1.example.org.
example.org             MX    20 mx2.example.org
example.org             TXT   "v=spf1 " "mx -all"
nomail.example          MX    0 .
xn--bcher-kva.example   MX    5 mx1.example.org
mx1.example.org         A     192.0.2.1
mx1.example.org         AAAA  2001:db8::1
www.example.org         CNAME mx1.example.org
half.example            A     192.0.2.3
half.example            SERVFAIL AAAA
broken.example          SERVFAIL
_25._tcp.mx1.example.org TLSA 3 1 1 00ff
1.2.0.192.in-addr.arpa  PTR   mx1.example.org
"""


class ResolverContract(Contract):
    """`make` builds a resolver that asks servers of RESOLVER_ZONE and reads no hosts file.

    `wait` gives its answer, or raises its failure.
    """

    interface = IResolver

    def refusal(self, method: str, name: str) -> Unresolvable:
        """The failure that comes instead of an answer."""
        try:
            answer = self.wait(getattr(self.make(), method)(name))
        except Unresolvable as failed:
            return failed
        raise AssertionError(f"{method}({name!r}) was answered: {answer}")

    def records(self, method: str, name: str) -> tuple[Any, ...]:
        """The records of an answer."""
        answer = self.wait(getattr(self.make(), method)(name))
        assert isinstance(answer, Answer), answer
        assert isinstance(answer.records, tuple), answer
        return answer.records

    def test_it_knows_exchanges(self) -> None:
        """Hosts are in lower case, without trailing dots, however the domain is spelled."""
        exchanges = [MxRecord(10, "mx1.example.org"), MxRecord(20, "mx2.example.org")]
        for name in ("example.org", "EXAMPLE.org", "example.org."):
            assert sorted(self.records("mx", name)) == exchanges, name
        assert self.records("mx", "bücher.example") == (MxRecord(5, "mx1.example.org"),)

    def test_the_null_mx_is_a_record(self) -> None:
        """Its record has no host name (RFC 7505)."""
        assert self.records("mx", "nomail.example") == (MxRecord(0, ""),)

    def test_it_knows_addresses(self) -> None:
        """Both kinds are found, also for an alias; one kind is enough if the other fails now."""
        for name in ("mx1.example.org", "www.example.org"):
            assert self.records("addresses", name) == ("2001:db8::1", "192.0.2.1"), name
        assert self.records("addresses", "half.example") == ("192.0.2.3",)

    def test_an_address_is_its_own_answer(self) -> None:
        """No server is asked."""
        for address in ("192.0.2.77", "2001:db8::77"):
            assert self.records("addresses", address) == (address,)

    def test_it_joins_the_strings_of_a_text(self) -> None:
        """RFC 7208 section 3.3."""
        assert self.records("txt", "example.org") == (b"v=spf1 mx -all",)

    def test_it_knows_what_dane_wants(self) -> None:
        """The record comes unchanged."""
        found = self.records("tlsa", "_25._tcp.mx1.example.org")
        assert found == (TlsaRecord(3, 1, 1, b"\x00\xff"),)

    def test_it_knows_names_of_addresses(self) -> None:
        """They come from the reverse zone; a text that is no address has none."""
        for address in ("192.0.2.1", "::ffff:192.0.2.1"):
            assert self.records("ptr", address) == ("mx1.example.org",), address
        assert self.refusal("ptr", "mx1.example.org").temporary is False

    def test_a_name_may_be_without_records(self) -> None:
        """That is an answer, too (NODATA)."""
        for method in ("mx", "txt", "tlsa"):
            assert self.records(method, "mx1.example.org") == (), method

    def test_a_name_may_not_exist(self) -> None:
        """That is permanent (NXDOMAIN), and so it is for a text that cannot be a name."""
        for method in ("mx", "addresses", "txt", "tlsa"):
            for name in ("nowhere.invalid", "a" * 64 + ".example"):
                assert self.refusal(method, name).temporary is False, (method, name)
        assert self.refusal("ptr", "192.0.2.99").temporary is False

    def test_nobody_may_answer_now(self) -> None:
        """The failure is temporary."""
        for method in ("mx", "addresses", "txt", "tlsa"):
            assert self.refusal(method, "broken.example").temporary is True, method

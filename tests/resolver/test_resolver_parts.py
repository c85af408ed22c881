"""The resolver's parts without a network: octets, cache, files, and forged responses."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.names import dns
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from mailframe.resolver import Answer, Unresolvable, exchange
from mailframe.resolver.cache import Cache
from mailframe.resolver.exchange import _ask_by_tcp, _Datagram
from mailframe.resolver.local import parse_hosts, parse_resolv_conf, system_servers
from mailframe.resolver.response import read
from mailframe.resolver.servers import Servers, parse_server
from mailframe.resolver.wire import TLSA, DnsQuestion, read_response, response_code
from mailframe.testing.dns import DnsServer, StaticResolver, Zone

MX = DnsQuestion("example.org", dns.MX)


def response(zone: str, question: DnsQuestion = MX, id: int = 7) -> bytes:
    query = dns.Message()
    query.fromStr(question.to_bytes(id))
    message = Zone(zone).respond(query)
    assert message is not None
    return message.toStr()


ONE_MX = response("example.org MX 10 mx.example.org")


class TestWire:
    """Questions and responses as octets."""

    def test_question(self) -> None:
        """A query asks for recursion and the AD bit, and offers 1232 octets by EDNS0."""
        message = dns.Message()
        message.fromStr(MX.to_bytes(0xBEEF))
        assert (message.id, message.recDes, message.authenticData) == (0xBEEF, 1, 1)
        assert str(message.queries[0].name) == "example.org"
        opt = message.additional[0]
        assert (opt.type, opt.cls, opt.ttl) == (dns.OPT, 1232, 0)

    def test_question_in_words(self) -> None:
        """Questions read as an operator writes them."""
        assert str(MX) == "example.org MX"
        assert str(DnsQuestion("_25._tcp.mx.example.org", TLSA)) == "_25._tcp.mx.example.org TLSA"

    def test_response(self) -> None:
        """A response to the question is taken."""
        assert read_response(ONE_MX, MX, 7) is not None

    @pytest.mark.parametrize(
        "forged",
        [
            b"",
            ONE_MX[:11],
            b"\0\x08" + ONE_MX[2:],  # another id
            ONE_MX[:2] + b"\x01" + ONE_MX[3:],  # a query
            ONE_MX[:2] + b"\xa8" + ONE_MX[3:],  # another opcode
            response("example.org MX 10 mx.example.org", DnsQuestion("example.org", dns.TXT)),
            response("example.net MX 10 mx.example.org", DnsQuestion("example.net", dns.MX)),
            ONE_MX[:5] + b"\0" + ONE_MX[6:12],  # no question at all
            ONE_MX[:5] + b"\2" + ONE_MX[6:],  # two questions announced
            ONE_MX[:-20],  # cut short, not marked as truncated
            ONE_MX[:12] + b"\xc0\x0c" + ONE_MX[12:],  # a name that points at itself
        ],
    )
    def test_what_is_no_response(self, forged: bytes) -> None:
        """Another id, question, class or kind of message is not our response (RFC 5452)."""
        assert read_response(forged, MX, 7) is None

    def test_a_refusal_to_read(self) -> None:
        """FORMERR may come without the question (RFC 1035 section 7.3)."""
        refusal = dns.Message(7, answer=1, rCode=dns.EFORMAT)
        message = read_response(refusal.toStr(), MX, 7)
        assert message is not None
        assert response_code(message) == dns.EFORMAT

    def test_extended_codes(self) -> None:
        """The OPT record holds the upper bits of the code (BADVERS is 16)."""
        message = dns.Message(7, answer=1)
        untyped: Any = dns
        message.additional = [dns.RRHeader(b"", dns.OPT, 1232, 1 << 24, untyped.UnknownRecord())]
        assert response_code(message) == 16

    @given(st.binary(max_size=200))
    def test_garbage(self, octets: bytes) -> None:
        """Garbage behind a right header never raises."""
        message = read_response(ONE_MX[:29] + octets, MX, 7)
        if message is not None:
            read(MX, message)

    @given(st.integers(12, len(ONE_MX) - 1), st.integers(0, 255))
    def test_damage(self, place: int, octet: int) -> None:
        """One wrong octet never raises."""
        damaged = ONE_MX[:place] + bytes((octet,)) + ONE_MX[place + 1 :]
        message = read_response(damaged, MX, 7)
        if message is not None:
            read(MX, message)


class TestReading:
    """What a response says."""

    def read(self, octets: bytes, question: DnsQuestion = MX) -> Any:
        message = read_response(octets, question, 7)
        assert message is not None
        return read(question, message)

    def test_only_the_names_own_records(self) -> None:
        """Records of other names in the answer are not believed."""
        message = dns.Message(7, answer=1)
        message.queries = [dns.Query("example.org", dns.MX)]
        untyped: Any = dns
        record = untyped.Record_MX(10, "evil.example")
        message.answers = [dns.RRHeader("example.net", dns.MX, dns.IN, 60, record)]
        assert self.read(message.toStr()).records == ()

    def test_negative_ttl(self) -> None:
        """The lesser of the SOA's TTL and minimum counts, three hours at most."""
        message = dns.Message(7, answer=1, rCode=dns.ENAME)
        message.queries = [dns.Query("example.org", dns.MX)]
        untyped: Any = dns
        for ttl, minimum, expected in ((60, 900, 60), (900, 60, 60), (10**6, 10**6, 10800)):
            soa = untyped.Record_SOA("example.org", "example.org", 1, minimum=minimum)
            message.authority = [dns.RRHeader("example.org", dns.SOA, dns.IN, ttl, soa)]
            reading = self.read(message.toStr())
            assert (reading.exists, reading.ttl) == (False, expected)

    def test_no_soa(self) -> None:
        """A negative answer without SOA is not to be remembered (RFC 2308 section 5)."""
        message = dns.Message(7, answer=1, rCode=dns.ENAME)
        message.queries = [dns.Query("example.org", dns.MX)]
        assert self.read(message.toStr()).ttl == 0

    def test_damaged_tlsa(self) -> None:
        """A TLSA record too short to be one is left out."""
        question = DnsQuestion("_25._tcp.mx.example.org", TLSA)
        message = dns.Message(7, answer=1)
        message.queries = [dns.Query(question.name, TLSA)]
        untyped: Any = dns
        message.answers = [
            dns.RRHeader(question.name, TLSA, dns.IN, 60, untyped.UnknownRecord(b"\3\1\1"))
        ]
        assert self.read(message.toStr(), question).records == ()


class ForgedTests(SynchronousTestCase):
    """What else arrives at a question's port."""

    def test_strays_do_not_end_the_wait(self) -> None:
        """After forged datagrams the true response is still taken, and once only."""
        datagrams = _Datagram(("192.0.2.53", 53), MX, edns=True)
        forged = response("example.net MX 10 evil.example", DnsQuestion("example.net", dns.MX))
        for octets in (b"x", forged, ONE_MX[:2] + b"\x01" + ONE_MX[3:]):
            datagrams.heard(octets)
        self.assertNoResult(datagrams.response)
        true = datagrams._id.to_bytes(2, "big") + ONE_MX[2:]
        datagrams.heard(true)
        datagrams.heard(true)
        datagrams.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(len(self.successResultOf(datagrams.response).answers), 1)

    def test_ids_differ(self) -> None:
        """Each question has an id of its own."""
        ids = {_Datagram(("192.0.2.53", 53), MX, edns=True)._id for _ in range(50)}
        self.assertGreater(len(ids), 40)


class ServersTests(SynchronousTestCase):
    """Turns and places."""

    def test_the_wait_for_a_place_ends(self) -> None:
        """Where other questions hold all sockets, one fails when its time is over."""
        clock = Clock()
        servers = Servers(clock, lambda: [("192.0.2.53", 53)], 1.0)
        taken = [servers._places.acquire() for _ in range(256)]
        asked = Deferred.fromCoroutine(servers.ask(MX))
        self.assertNoResult(asked)
        clock.advance(1.0)
        failed = self.failureResultOf(asked, Unresolvable).value
        self.assertTrue(failed.temporary)
        self.assertIn("too many questions", str(failed))
        self.assertEqual(len(taken), 256)

    def test_no_socket(self) -> None:
        """Where the machine has no socket left, nothing can be resolved now."""

        def full(*arguments: Any) -> None:
            raise OSError(errno.EMFILE, "too many open files")

        self.patch(exchange.socket, "socket", full)
        servers = Servers(Clock(), lambda: [("192.0.2.53", 53)], 1.0)
        asked = Deferred.fromCoroutine(servers.ask(MX))
        failed = self.failureResultOf(asked, Unresolvable).value
        self.assertTrue(failed.temporary)
        self.assertIn("no socket", str(failed))

    def test_tcp_takes_too_long(self) -> None:
        """A TCP connection that is not made in time is one that may be made later."""
        reactor = MemoryReactorClock()
        asked = Deferred.fromCoroutine(_ask_by_tcp(reactor, ("192.0.2.53", 53), MX, 1.0, True))
        connector = reactor.connectors[0]
        reactor.tcpClients[0][2].clientConnectionFailed(connector, Failure(ConnectTimeout()))
        self.failureResultOf(asked, ConnectTimeout)

    def test_no_servers(self) -> None:
        """Without any server nothing can be resolved now."""
        servers = Servers(Clock(), list, 1.0)
        asked = Deferred.fromCoroutine(servers.ask(MX))
        self.assertTrue(self.failureResultOf(asked, Unresolvable).value.temporary)

    def test_spellings(self) -> None:
        """Addresses of both families, with and without port."""
        for text, server in (
            ("192.0.2.1", ("192.0.2.1", 53)),
            ("192.0.2.1:5353", ("192.0.2.1", 5353)),
            ("2001:db8::1", ("2001:db8::1", 53)),
            ("[2001:db8::1]", ("2001:db8::1", 53)),
            ("[2001:db8::1]:5353", ("2001:db8::1", 5353)),
        ):
            self.assertEqual(parse_server(text), server)


class TestCache:
    """What is remembered."""

    def test_the_oldest_used_goes(self) -> None:
        """When it is full, what was not asked for longest is forgotten."""
        cache = Cache(2, Clock().seconds)
        one, two, three = (DnsQuestion(name, dns.MX) for name in ("one", "two", "three"))
        cache.put(one, Answer((1,)), 60)
        cache.put(two, Answer((2,)), 60)
        cache.get(one)
        cache.put(three, Answer((3,)), 60)
        assert [cache.get(question) is None for question in (one, two, three)] == [
            False,
            True,
            False,
        ]

    def test_large_answers_take_more(self) -> None:
        """A large answer counts as several; one larger than all is not kept."""
        cache = Cache(10, Clock().seconds)
        for number in range(10):
            cache.put(DnsQuestion(str(number), dns.TXT), Answer(()), 60)
        cache.put(DnsQuestion("large", dns.TXT), Answer(()), 60, octets=5 * 512)
        assert len(cache) == 5
        cache.put(DnsQuestion("huge", dns.TXT), Answer(()), 60, octets=10**6)
        assert len(cache) == 5

    def test_again(self) -> None:
        """A newer answer takes the place of the older, and its time."""
        clock = Clock()
        cache = Cache(10, clock.seconds)
        cache.put(MX, Answer((1,)), 60)
        cache.put(MX, Answer((2,)), 5)
        clock.advance(5)
        assert cache.get(MX) is None
        assert len(cache) == 0


class TestFiles:
    """/etc/hosts and /etc/resolv.conf."""

    def test_hosts(self) -> None:
        """Names in any case, several addresses, comments and rubbish."""
        text = "# c\n127.0.0.1 localhost\n192.0.2.1\tA.example. a\n192.0.2.2 a # b\n\nx y\n"
        assert parse_hosts(text) == {
            "localhost": ("127.0.0.1",),
            "a.example": ("192.0.2.1",),
            "a": ("192.0.2.1", "192.0.2.2"),
        }

    def test_resolv_conf(self) -> None:
        """Name servers in their order; the machine itself where none is named."""
        text = "search example.org\nnameserver 192.0.2.1\nnameserver\nnameserver ::5 # x\n"
        assert parse_resolv_conf(text) == (("192.0.2.1", 53), ("::5", 53))
        assert parse_resolv_conf("options rotate\nnameserver x") == (("127.0.0.1", 53),)

    def test_no_resolv_conf(self, tmp_path: Path) -> None:
        """Without the file the machine itself is asked; with it, its newest version."""
        clock = Clock()
        path = tmp_path / "resolv.conf"
        assert system_servers(path, clock.seconds)() == (("127.0.0.1", 53),)
        path.write_text("nameserver 192.0.2.1")
        servers = system_servers(path, clock.seconds)
        assert servers() == (("192.0.2.1", 53),)
        path.write_text("nameserver 192.0.2.200")
        clock.advance(2)
        assert servers() == (("192.0.2.200", 53),)


class StaticResolverTests(SynchronousTestCase):
    """The Resolver for other rooms' tests."""

    def test_it_answers_at_once(self) -> None:
        """Answers and failures come without a Deferred, and like those of the real one."""
        resolver = StaticResolver(
            "example.org MX 10 mx.example.org\nmx.example.org CNAME a.example.org\n"
            "a.example.org A 192.0.2.1\nbroken.example SERVFAIL\nsilent.example SILENT"
        )
        self.assertEqual(resolver.mx("Example.org"), Answer(((10, "mx.example.org"),), False, 300))
        self.assertEqual(resolver.addresses("mx.example.org").records, ("192.0.2.1",))
        for name, temporary in (
            ("broken.example", True),
            ("silent.example", True),
            ("nowhere.invalid", False),
        ):
            for ask in (resolver.mx, resolver.addresses):
                with self.assertRaises(Unresolvable) as caught:
                    ask(name)
                self.assertEqual(caught.exception.temporary, temporary)
        self.assertEqual(resolver.asked[0], "example.org MX")

    def test_a_broken_zone(self) -> None:
        """A test's own mistake is not taken for a DNS failure."""
        resolver = StaticResolver("example.org MX 10 mx.example.org")
        resolver.zone = None  # type: ignore[assignment]
        with self.assertRaises(AttributeError):
            resolver.mx("example.org")
        self.flushLoggedErrors()

    def test_remembering(self) -> None:
        """With a cache it asks once."""
        resolver = StaticResolver("example.org MX 10 mx.example.org", cache_size=5)
        first = resolver.mx("example.org")
        self.assertIs(resolver.mx("example.org"), first)
        self.assertEqual(resolver.asked, ["example.org MX"])

    def test_the_test_server_ignores_garbage(self) -> None:
        """What is no query gets no response."""
        for octets in (b"", b"x" * 11, b"\0" * 12, ONE_MX[:12] + b"\xc0\x0c"):
            self.assertIsNone(DnsServer().respond(octets, "udp"))

    def test_zone_lines(self) -> None:
        """A line that cannot be is refused in its words."""
        for line in ("example.org", "example.org A x", "example.org MX", "example.org FOO 1"):
            with self.assertRaisesRegex(ValueError, "example.org"):
                Zone(line)

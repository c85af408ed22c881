"""The Resolver against a real name server on loopback."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import TestCase

from mailframe.eventual import at_once
from mailframe.plugin import Duration, SettingError
from mailframe.resolver import Answer, MxRecord, Resolver, TlsaRecord, Unresolvable
from mailframe.settings import DnsSettings
from mailframe.testing.dns import DnsServer, Zone

ZONE = """
example.org          MX    20 Backup.Example.ORG.
example.org          MX    10 mx.example.org
example.org          TXT   "v=spf1 " "mx -all"
mx.example.org       A     192.0.2.1
mx.example.org       AAAA  2001:db8::1
mx.example.org       SIGNED
_25._tcp.mx.example.org TLSA 3 1 1 00ff
nomail.example       MX    0 .
www.example.org      CNAME alias.example.org
alias.example.org    CNAME mx.example.org
loop.example         CNAME pool.example
pool.example         CNAME loop.example
xn--bcher-kva.example MX   10 mx.example.org
broken.example       SERVFAIL
refused.example      REFUSED
silent.example       SILENT
half.example         A     192.0.2.7
half.example         SERVFAIL AAAA
half6.example        AAAA  2001:db8::7
half6.example        SERVFAIL A
unknown.example      SERVFAIL AAAA
unknown.example      EXISTS
cut.example          A     192.0.2.9
cut.example          TRUNCATED
1.2.0.192.in-addr.arpa PTR mx.example.org
"""


class _WithServer(TestCase):
    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor = reactor
        self.clock = Clock()
        self.server = self.serve(DnsServer(ZONE))
        self.resolver = self.resolve(self.server)

    def serve(self, server: DnsServer) -> DnsServer:
        server.start(self.reactor)
        self.addCleanup(server.stop)
        return server

    def resolve(self, *servers: DnsServer, timeout: float = 5.0, size: int = 100) -> Resolver:
        return Resolver(
            self.reactor,
            [server.address for server in servers],
            timeout,
            size,
            now=self.clock.seconds,
            hosts=None,
        )

    async def refusal(self, question: Deferred[Answer[object]]) -> Unresolvable:
        with self.assertRaises(Unresolvable) as caught:
            await question
        return caught.exception


class RecordTests(_WithServer):
    """What each method makes of the records."""

    async def test_mx(self) -> None:
        """Exchanges come in lower case, without trailing dots."""
        answer = await self.resolver.mx("Example.ORG.")
        self.assertEqual(
            sorted(answer.records), [(10, "mx.example.org"), (20, "backup.example.org")]
        )
        self.assertEqual(answer.ttl, 300)
        self.assertIs(answer.authenticated, False)

    async def test_null_mx(self) -> None:
        """The null MX (RFC 7505) is kept, as host ""."""
        answer = await self.resolver.mx("nomail.example")
        self.assertEqual(answer.records, (MxRecord(0, ""),))

    async def test_unicode_name(self) -> None:
        """A U-label is asked for as its A-label."""
        answer = await self.resolver.mx("Bücher.example")
        self.assertEqual(answer.records, (MxRecord(10, "mx.example.org"),))

    async def test_unicode_beside_underscore(self) -> None:
        """An underscored label (RFC 8552) may stand before U-labels."""
        self.server.zone.add("_dmarc.xn--bcher-kva.example TXT v=DMARC1")
        answer = await self.resolver.txt("_dmarc.bücher.example")
        self.assertEqual(answer.records, (b"v=DMARC1",))

    async def test_addresses(self) -> None:
        """IPv6 addresses come before IPv4 ones."""
        answer = await self.resolver.addresses("mx.example.org")
        self.assertEqual(answer.records, ("2001:db8::1", "192.0.2.1"))

    async def test_txt_strings_are_joined(self) -> None:
        """The strings of one TXT record are one text (RFC 7208 section 3.3)."""
        answer = await self.resolver.txt("example.org")
        self.assertEqual(answer.records, (b"v=spf1 mx -all",))

    async def test_tlsa(self) -> None:
        """TLSA records come as they are, with the AD bit's word on them."""
        self.server.zone.add("_25._tcp.mx.example.org SIGNED")
        answer = await self.resolver.tlsa("_25._tcp.mx.example.org")
        self.assertEqual(answer.records, (TlsaRecord(3, 1, 1, b"\x00\xff"),))
        self.assertIs(answer.authenticated, True)

    async def test_ptr(self) -> None:
        """An IPv4-mapped address is looked up as the IPv4 address it is."""
        for address in ("192.0.2.1", "::ffff:192.0.2.1"):
            answer = await Deferred.fromCoroutine(_awaited(self.resolver.ptr(address)))
            self.assertEqual(answer.records, ("mx.example.org",))
        with self.assertRaises(Unresolvable) as caught:
            self.resolver.ptr("mx.example.org")
        self.assertFalse(caught.exception.temporary)

    async def test_nodata(self) -> None:
        """A name without records of that kind is an answer without records."""
        answer = await self.resolver.mx("mx.example.org")
        self.assertEqual(answer.records, ())

    async def test_the_ad_bit(self) -> None:
        """Authenticated is what the server says with the AD bit, and all must say it."""
        self.assertTrue((await self.resolver.addresses("mx.example.org")).authenticated)
        self.assertFalse((await self.resolver.addresses("www.example.org")).authenticated)


async def _awaited(eventual: object) -> Answer[str]:
    return await eventual if isinstance(eventual, Deferred) else eventual  # type: ignore


class AliasTests(_WithServer):
    """CNAME chains."""

    async def test_a_chain_in_one_response(self) -> None:
        """Aliases are followed within the response."""
        answer = await self.resolver.addresses("www.example.org")
        self.assertEqual(answer.records, ("2001:db8::1", "192.0.2.1"))
        self.assertEqual(len(self.server.asked), 2)

    async def test_a_chain_over_several_responses(self) -> None:
        """Where the server gives the alias alone, its target is asked for."""
        server = self.serve(DnsServer(Zone(ZONE, chains=False)))
        answer = await self.resolve(server).addresses("www.example.org")
        self.assertEqual(answer.records, ("2001:db8::1", "192.0.2.1"))
        self.assertIn(("udp", "alias.example.org A"), server.asked)

    async def test_a_loop_ends(self) -> None:
        """Aliases in a circle are given up, in one response or over several."""
        for chains in (True, False):
            server = self.serve(DnsServer(Zone(ZONE, chains=chains)))
            failed = await self.refusal(self.resolve(server).mx("loop.example"))
            self.assertTrue(failed.temporary)
            self.assertIn("too many aliases", str(failed))
            self.assertLess(len(server.asked), 12)

    async def test_an_alias_to_nowhere(self) -> None:
        """An alias of a name that does not exist does not exist."""
        self.server.zone.add("old.example CNAME gone.invalid")
        failed = await self.refusal(self.resolver.mx("old.example"))
        self.assertFalse(failed.temporary)


class FailureTests(_WithServer):
    """Who is to blame, and whether asking again helps."""

    async def test_nxdomain_is_permanent(self) -> None:
        """A name that does not exist will not exist on the next try."""
        failed = await self.refusal(self.resolver.mx("nowhere.invalid"))
        self.assertFalse(failed.temporary)
        self.assertIn("nowhere.invalid MX", str(failed))

    async def test_servfail_and_refused_are_temporary(self) -> None:
        """A server's failure is not the name's; the next server is asked."""
        other = self.serve(DnsServer(ZONE))
        resolver = self.resolve(self.server, other)
        for name in ("broken.example", "refused.example"):
            self.assertTrue((await self.refusal(resolver.mx(name))).temporary)
        self.assertEqual((len(self.server.asked), len(other.asked)), (2, 2))

    async def test_silence_is_temporary(self) -> None:
        """A silent server is asked again until the time is over."""
        failed = await self.refusal(self.resolve(self.server, timeout=0.3).mx("silent.example"))
        self.assertTrue(failed.temporary)
        self.assertIn("no answer in time", str(failed))
        self.assertGreater(len(self.server.asked), 1)

    async def test_no_server(self) -> None:
        """A port where nobody listens fails at once, temporarily."""
        closed = DnsServer()
        closed.start(self.reactor)
        await closed.stop()
        failed = await self.refusal(self.resolve(closed).mx("example.org"))
        self.assertTrue(failed.temporary)
        self.assertIn("no name server", str(failed))

    async def test_the_next_server(self) -> None:
        """A server that is gone or silent is passed over, and the good one remembered."""
        closed = DnsServer()
        closed.start(self.reactor)
        await closed.stop()
        silent = self.serve(DnsServer("example.org SILENT\nmx.example.org SILENT"))
        resolver = self.resolve(closed, silent, self.server, timeout=1.0)
        self.assertEqual(len((await resolver.mx("example.org")).records), 2)
        self.assertEqual(len(silent.asked), 1)
        await resolver.addresses("mx.example.org")
        self.assertEqual(len(silent.asked), 1)

    async def test_half_an_address_answer(self) -> None:
        """One kind failing for now does not hide the addresses of the other."""
        answer = await self.resolver.addresses("half.example")
        self.assertEqual(answer.records, ("192.0.2.7",))
        answer = await self.resolver.addresses("half6.example")
        self.assertEqual(answer.records, ("2001:db8::7",))

    async def test_half_an_answer_without_addresses(self) -> None:
        """One kind unknown and the other empty is not yet "no addresses"."""
        failed = await self.refusal(self.resolver.addresses("unknown.example"))
        self.assertTrue(failed.temporary)
        failed = await self.refusal(self.resolver.addresses("broken.example"))
        self.assertTrue(failed.temporary)

    def test_names_that_cannot_be(self) -> None:
        """What is no domain name fails for good, without a question."""
        for name in ("", "a..b", ".", "x" * 64, "a." * 127 + "toolong", "ex\u2028ample.org"):
            for ask in (self.resolver.mx, self.resolver.addresses, self.resolver.txt):
                with self.assertRaises(Unresolvable) as caught:
                    ask(name)
                self.assertFalse(caught.exception.temporary)
        self.assertEqual(self.server.asked, [])


class TransportTests(_WithServer):
    """UDP, EDNS0 and TCP."""

    async def test_truncation_goes_to_tcp(self) -> None:
        """A truncated response is fetched whole over TCP."""
        answer = await self.resolver.mx("cut.example")
        self.assertEqual(answer.records, ())
        self.assertEqual(self.server.asked, [("udp", "cut.example MX"), ("tcp", "cut.example MX")])

    async def test_large_answers_by_edns(self) -> None:
        """A kilobyte fits into UDP by EDNS0; five need TCP."""
        self.server.zone.add(f"fits.example TXT {'x' * 1000}\nbig.example TXT {'y' * 5000}")
        self.assertEqual((await self.resolver.txt("fits.example")).records, (b"x" * 1000,))
        self.assertEqual((await self.resolver.txt("big.example")).records, (b"y" * 5000,))
        self.assertEqual([transport for transport, _ in self.server.asked], ["udp", "udp", "tcp"])

    async def test_tcp_that_fails(self) -> None:
        """A server that says "truncated" and takes no TCP connection is no answer."""
        self.server._ports.pop(0).stopListening()
        failed = await self.refusal(self.resolver.mx("cut.example"))
        self.assertTrue(failed.temporary)

    async def test_tcp_that_hangs_up(self) -> None:
        """Nor is one that closes the connection."""
        self.server._ports[0].factory.buildProtocol = lambda address: None
        failed = await self.refusal(self.resolver.mx("cut.example"))
        self.assertTrue(failed.temporary)

    async def test_a_server_without_edns(self) -> None:
        """A server that answers FORMERR to EDNS is asked again without (RFC 6891 section 7)."""
        old = self.serve(DnsServer(ZONE, edns=False))
        answer = await self.resolve(old).mx("nomail.example")
        self.assertEqual(answer.records, (MxRecord(0, ""),))
        self.assertEqual(len(old.asked), 2)

    async def test_ipv6_server(self) -> None:
        """A name server may have an IPv6 address."""
        server = DnsServer(ZONE)
        server.start(self.reactor, interface="::1")
        self.addCleanup(server.stop)
        resolver = self.resolve(server)
        self.assertEqual(len((await resolver.mx("example.org")).records), 2)
        self.assertEqual(len((await resolver.mx("cut.example")).records), 0)

    async def test_the_log_stays_empty(self) -> None:
        """A question is nothing to write down."""
        with capturedLogs() as logged:
            await self.resolve(self.server).mx("example.org")
        assert logged == []

    async def test_no_way_to_the_server(self) -> None:
        """A server that the network cannot reach is no answer, and leaves no socket."""
        resolver = Resolver(self.reactor, [("255.255.255.255", 53)], 1.0, hosts=None)
        failed = await self.refusal(resolver.mx("example.org"))
        self.assertTrue(failed.temporary)


class MemoryTests(_WithServer):
    """The cache, and questions under way."""

    async def test_known_answers_come_at_once(self) -> None:
        """The second time the Answer itself is there, until its TTL is over."""
        first = await self.resolver.mx("example.org")
        self.assertIs(self.resolver.mx("EXAMPLE.org"), first)
        self.clock.advance(299)
        self.assertIs(self.resolver.mx("example.org"), first)
        self.clock.advance(1)
        self.assertIsInstance(second := self.resolver.mx("example.org"), Deferred)
        await second

    async def test_known_addresses_come_at_once(self) -> None:
        """So do addresses, where both kinds are known."""
        first = await self.resolver.addresses("mx.example.org")
        self.assertEqual(self.resolver.addresses("mx.example.org"), first)

    async def test_one_kind_known(self) -> None:
        """Only the unknown kind is asked for."""
        self.server.zone = Zone("mx.example.org SERVFAIL AAAA\nmx.example.org A 192.0.2.1")
        await self.resolver.addresses("mx.example.org")
        self.clock.advance(11)
        del self.server.asked[:]
        await self.resolver.addresses("mx.example.org")
        self.assertEqual(self.server.asked, [("udp", "mx.example.org AAAA")])

    async def test_negative_answers_are_remembered(self) -> None:
        """NXDOMAIN and NODATA hold as long as the SOA says (RFC 2308)."""
        await self.refusal(self.resolver.mx("nowhere.invalid"))
        nodata = await self.resolver.mx("mx.example.org")
        asked = len(self.server.asked)
        self.clock.advance(299)
        self.assertIs(self.resolver.mx("mx.example.org"), nodata)
        with self.assertRaises(Unresolvable) as caught:
            self.resolver.mx("nowhere.invalid")
        self.assertFalse(caught.exception.temporary)
        self.assertEqual(len(self.server.asked), asked)
        self.clock.advance(2)
        await self.refusal(self.resolver.mx("nowhere.invalid"))
        self.assertEqual(len(self.server.asked), asked + 1)

    async def test_failures_are_remembered_briefly(self) -> None:
        """SERVFAIL holds for seconds, so that a repaired zone is soon found."""
        await self.refusal(self.resolver.mx("broken.example"))
        with self.assertRaises(Unresolvable) as caught:
            self.resolver.mx("broken.example")
        self.assertTrue(caught.exception.temporary)
        self.server.zone.remove("broken.example")
        self.server.zone.add("broken.example MX 1 mx.example.org")
        self.clock.advance(11)
        self.assertEqual(len((await self.resolver.mx("broken.example")).records), 1)

    async def test_equal_questions_share_a_query(self) -> None:
        """Fifty who ask at once are one question to the server."""
        answers = await gatherResults([self.resolver.mx("example.org") for _ in range(50)])
        self.assertEqual(len(self.server.asked), 1)
        self.assertEqual({id(answer) for answer in answers}, {id(answers[0])})

    async def test_one_who_gives_up(self) -> None:
        """Who cancels a shared question takes nothing from the others."""
        first, second = self.resolver.mx("example.org"), self.resolver.mx("example.org")
        first.addErrback(lambda failure: None)
        first.cancel()
        self.assertEqual(len((await second).records), 2)

    async def test_an_address_question_given_up(self) -> None:
        """Cancelling a question for addresses leaves no error behind."""
        asked = self.resolver.addresses("broken.example")
        asked.addErrback(lambda failure: None)
        asked.cancel()
        await self.refusal(self.resolver.addresses("broken.example"))

    async def test_many_questions_wait_for_a_socket(self) -> None:
        """No more than a few hundred sockets are open, and all get their answer."""
        for number in range(600):
            self.server.zone.add(f"n{number}.example MX 1 mx.example.org")
        answers = await gatherResults(
            [self.resolver.mx(f"n{number}.example") for number in range(600)]
        )
        self.assertEqual({len(answer.records) for answer in answers}, {1})

    async def test_the_wait_for_a_socket_ends(self) -> None:
        """When silent questions hold all sockets, others fail in time."""
        self.server.zone.add("\n".join(f"s{number}.example SILENT" for number in range(300)))
        resolver = self.resolve(self.server, timeout=0.4)
        failures = await gatherResults(
            [self.refusal_later(resolver, number) for number in range(300)]
        )
        self.assertTrue(all(failed.temporary for failed in failures))

    def refusal_later(self, resolver: Resolver, number: int) -> Deferred[Unresolvable]:
        return Deferred.fromCoroutine(self.refusal(resolver.mx(f"s{number}.example")))


class LocalTests(_WithServer):
    """What needs no DNS."""

    def test_addresses_are_their_own_answer(self) -> None:
        """An IP address is answered in its usual spelling."""
        for given, answer in (("192.0.2.9", "192.0.2.9"), ("2001:DB8:0::9", "2001:db8::9")):
            self.assertEqual(self.resolver.addresses(given).records, (answer,))

    def test_localhost(self) -> None:
        """localhost is this machine, whatever DNS says (RFC 6761 section 6.3)."""
        for name in ("localhost", "LOCALHOST.", "a.localhost"):
            self.assertEqual(self.resolver.addresses(name).records, ("::1", "127.0.0.1"))

    async def test_hosts_file(self) -> None:
        """The hosts file decides addresses, and nothing else; changes to it count."""
        path = Path(self.mktemp())
        path.write_text("192.0.2.5 Example.org web # comment\n::5 example.org\nrubbish x\n")
        resolver = Resolver(
            self.reactor, self.server.servers, 5.0, now=self.clock.seconds, hosts=path
        )
        self.assertEqual(resolver.addresses("example.org").records, ("192.0.2.5", "::5"))
        self.assertEqual(len((await resolver.mx("example.org")).records), 2)
        path.write_text("192.0.2.66 web\n")
        self.clock.advance(2)
        self.assertEqual(resolver.addresses("web").records, ("192.0.2.66",))

    def test_no_hosts_file(self) -> None:
        """A machine without hosts file still knows localhost."""
        resolver = Resolver(self.reactor, self.server.servers, hosts=Path("/nonexistent/hosts"))
        self.assertEqual(resolver.addresses("localhost").records, ("::1", "127.0.0.1"))


class SettingsTests(_WithServer):
    """`[dns]`."""

    async def test_from_settings(self) -> None:
        """Servers with port, timeout and size come from the settings."""
        address, port = self.server.address
        settings = DnsSettings((f"{address}:{port}",), Duration(5.0), 7)
        resolver = Resolver.from_settings(self.reactor, settings)
        self.assertEqual(len((await resolver.mx("example.org")).records), 2)

    def test_the_system_servers(self) -> None:
        """Without servers those of the machine are asked."""
        self.assertIsInstance(Resolver.from_settings(self.reactor, DnsSettings()), Resolver)

    def test_wrong_servers(self) -> None:
        """A server is an address with a port; anything else is refused with the key."""
        for wrong in ("dns.example.org", "192.0.2.1:x", "192.0.2.1:70000", "[::1", "[::1]53", ""):
            with self.assertRaises(SettingError) as caught:
                Resolver.from_settings(self.reactor, DnsSettings((wrong,)))
            self.assertEqual(caught.exception.key, "servers")
            self.assertIn(repr(wrong), caught.exception.message)


class EventualTests(_WithServer):
    """The Deferreds fit the house's `at_once`."""

    async def test_at_once(self) -> None:
        """A known answer goes through at_once as a plain value."""
        first = await self.resolver.mx("example.org")
        self.assertIs(at_once(self.resolver.mx("example.org")), first)

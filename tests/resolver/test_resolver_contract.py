"""The Resolver and the one for tests keep the contract of resolvers."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.selectreactor import SelectReactor
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from mailframe.eventual import at_once
from mailframe.resolver import Resolver
from mailframe.testing.dns import DnsServer, StaticResolver
from mailframe.testing.resolver import RESOLVER_ZONE, ResolverContract


class TestStaticResolver(ResolverContract, SynchronousTestCase):
    """Without a network."""

    def make(self) -> StaticResolver:
        return StaticResolver(RESOLVER_ZONE)


class TestResolver(ResolverContract, SynchronousTestCase):
    """Against a real server on loopback, with a reactor of its own."""

    reactor: SelectReactor

    @classmethod
    def setUpClass(cls) -> None:
        cls.reactor = SelectReactor()

    def make(self) -> Resolver:
        server = DnsServer(RESOLVER_ZONE)
        server.start(self.reactor)
        self.addCleanup(lambda: self.wait(server.stop()))
        return Resolver(self.reactor, server.servers, 10.0, hosts=None)

    def wait(self, eventual: Any) -> Any:
        found = at_once(eventual)
        if not isinstance(found, Deferred):
            return found
        results: list[Any] = []
        found.addBoth(results.append)
        while not results:  # the resolver's own timeout ends it
            self.reactor.iterate(0.01)
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]

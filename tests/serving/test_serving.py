"""Listeners of protocols that plugins bring: what is the host's, and what a plugin cannot harm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from mailframe.command_line.problems import check
from mailframe.eventual import at_once
from mailframe.hooks import Bound, Hooks
from mailframe.sasl import Refusal, Success
from mailframe.serving import ServedListener, served_protocols
from mailframe.settings import Limits, Listener
from mailframe.testing.hooks import Remembered, compose_hooks
from mailframe.wire.peer import Peer


class Echo(Protocol):
    """Says what it hears, and fails at the word."""

    def connectionMade(self) -> None:
        self.transport.write(b"hello ")

    def dataReceived(self, data: bytes) -> None:
        if data == b"fail":
            raise ValueError("the word")
        self.transport.write(data)


class Polite(Echo):
    def stop(self) -> None:
        self.transport.write(b"closing")
        self.transport.loseConnection()

    def timed_out(self) -> None:
        self.transport.write(b"too slow")
        self.transport.loseConnection()


class Brings:
    """A plugin; `kind` is made for each client."""

    protocol = "echo"

    def __init__(self, kind: Any = Echo) -> None:
        self.kind = kind
        self.connections: list[Any] = []

    def session(self, connection: Any) -> Any:
        self.connections.append(connection)
        return self.kind()


@implementer(ICredentialsChecker)
class Passwords:
    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, **users: str) -> None:
        self.users = users

    def requestAvatarId(self, credentials: Any) -> Any:
        name, password = credentials.username.decode(), credentials.password.decode()
        if self.users.get(name) != password:
            raise UnauthorizedLogin
        return name


def _later(eventual: Any) -> Deferred[Any]:
    later = at_once(eventual)
    if isinstance(later, Deferred):
        return later
    done: Deferred[Any] = Deferred()
    done.callback(later)
    return done


class Wire(StringTransport):
    aborted = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def abortConnection(self) -> None:
        self.aborted = True


class ServingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.seen = Remembered()
        self.logged: list[Any] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    def listener(self, kind: Any = Echo, **limits: Any) -> ServedListener:
        self.plugin = Brings(kind)
        return ServedListener(
            self.plugin,
            listener=Listener("echo", "tcp:7", "echo"),
            limits=Limits(**limits),
            hooks=Hooks(reactor=self.clock, observers=(Bound("observe", "seen", self.seen),)),
            certificates=None,
            reactor=self.clock,
            now=self.clock.seconds,
        )

    def connect(self, listener: ServedListener, peer: Peer | None = None) -> tuple[Any, Wire]:
        protocol = listener.client_protocol(peer)
        wire = Wire(peerAddress=IPv4Address("TCP", "192.0.2.7", 4711))
        wire.protocol = protocol
        protocol.makeConnection(wire)
        return protocol, wire

    def test_a_client(self) -> None:
        """It is known, counted, and talks to the plugin's protocol."""
        listener = self.listener()
        protocol, wire = self.connect(listener)
        protocol.dataReceived(b"you")
        assert wire.value() == b"hello you" and listener.sessions == 1
        [connection] = self.plugin.connections
        assert (connection.client.address, connection.client.listener) == ("192.0.2.7", "echo")
        assert not connection.can_start_tls and connection.mechanisms() == ()
        protocol.connectionLost()
        assert listener.sessions == 0

    def test_a_client_behind_a_proxy(self) -> None:
        """Whoever the proxy says it is."""
        self.connect(self.listener(), Peer("198.51.100.7", 1, "192.0.2.1", 7))
        assert self.plugin.connections[0].client.address == "198.51.100.7"

    def test_too_many(self) -> None:
        """The plugin never hears of them."""
        listener = self.listener(connections_per_client=1)
        self.connect(listener)
        _, wire = self.connect(listener)
        assert wire.aborted and wire.value() == b"" and len(self.plugin.connections) == 1

    def test_a_fault_ends_that_connection_only(self) -> None:
        """It is logged; the next client is served."""
        listener = self.listener()
        protocol, wire = self.connect(listener)
        protocol.dataReceived(b"fail")
        assert wire.aborted
        assert len(self.flushLoggedErrors(ValueError)) == 1
        [fault] = [event for event in self.seen.events if event.stage == "serve"]
        assert (fault.verdict, fault.plugin) == ("fault", "echo")
        assert fault.session == protocol.client.session and fault.facts["cause"] == "ValueError"
        [logged] = [entry for entry in self.logged if "reference" in entry]
        assert fault.facts["reference"] == logged["reference"]
        assert f"ref {logged['reference']}" in formatEvent(logged)
        protocol.dataReceived(b"more")
        assert wire.value() == b"hello "
        _, other = self.connect(listener)
        assert other.value() == b"hello "

    def test_a_protocol_that_cannot_be_made(self) -> None:
        """The same."""

        def kind() -> None:
            raise KeyError("no")

        _, wire = self.connect(self.listener(kind))
        assert wire.aborted and len(self.flushLoggedErrors(KeyError)) == 1

    def test_the_end(self) -> None:
        """A protocol that can says farewell, another is hung up on; both end."""
        for kind, words in ((Polite, b"hello closing"), (Echo, b"hello ")):
            listener = self.listener(kind)
            protocol, wire = self.connect(listener)
            stopped = listener.stop_gracefully()
            assert wire.value() == words and wire.disconnecting
            self.assertNoResult(stopped)
            protocol.connectionLost()
            self.successResultOf(stopped)

    def test_what_is_under_way_may_be_finished(self) -> None:
        """A protocol that is told to stop hears its client until it has said farewell."""

        class Busy(Echo):
            def stop(self) -> None:
                self.transport.write(b"soon ")

            def dataReceived(self, data: bytes) -> None:
                self.transport.write(data + b" bye")
                self.transport.loseConnection()

        listener = self.listener(Busy)
        protocol, wire = self.connect(listener)
        listener.stop_gracefully()
        self.clock.pump([1] * 20)
        assert wire.value() == b"hello soon " and not wire.disconnecting
        protocol.dataReceived(b"done")
        assert wire.value() == b"hello soon done bye" and wire.disconnecting
        protocol.dataReceived(b"more")
        assert wire.value() == b"hello soon done bye"

    def test_a_fault_that_comes_later(self) -> None:
        """Out of a method's Deferred or coroutine, or told by the protocol itself."""

        class Later(Echo):
            def stop(self) -> Deferred[None]:
                self.stopped: Deferred[None] = Deferred()
                return self.stopped

            async def timed_out(self) -> None:
                raise KeyError("in a coroutine")

        listener = self.listener(Later)
        protocol, wire = self.connect(listener)
        listener.stop_gracefully()
        protocol._inner.stopped.errback(OSError("later"))
        assert wire.aborted and len(self.flushLoggedErrors(OSError)) == 1
        protocol, wire = self.connect(self.listener(Later, command_timeout=5.0))
        self.clock.pump([1] * 8)
        assert wire.aborted and len(self.flushLoggedErrors(KeyError)) == 1
        protocol, wire = self.connect(self.listener())
        self.plugin.connections[0].failed(Failure(ValueError("told")))
        assert wire.aborted and len(self.flushLoggedErrors(ValueError)) == 1

    def test_patience_is_the_protocols(self) -> None:
        """It may wait longer than the limit, or make its client wait."""
        listener = self.listener(command_timeout=30.0)
        _, wire = self.connect(listener)
        [connection] = self.plugin.connections
        assert connection.patience == 30.0
        connection.patience = 100.0
        self.clock.pump([1] * 99)
        assert not wire.disconnecting
        connection.patience = None
        self.clock.pump([1] * 1000)
        assert not wire.disconnecting
        connection.patience = 30.0
        self.clock.pump([1] * 2)
        assert wire.disconnecting

    def test_what_is_sent_counts_as_well(self) -> None:
        """A client that takes a large message says nothing for long."""
        protocol, wire = self.connect(self.listener(command_timeout=30.0))
        for _ in range(10):
            self.clock.pump([1] * 20)
            protocol._inner.transport.write(b"a piece")
        assert not wire.disconnecting

    def test_the_last_words_of_a_refusal(self) -> None:
        """The plugin's own, if it has some; its fault there harms nothing."""

        class Worded(Brings):
            def refusal(self, why: str) -> bytes:
                return {"too many": b"busy"}[why]

        listener = self.listener(connections_per_client=1)
        listener.plugin = Worded()
        self.connect(listener)
        _, wire = self.connect(listener)
        assert wire.value() == b"busy" and wire.disconnecting
        listener.stop_gracefully()
        _, wire = self.connect(listener)
        assert wire.disconnecting and len(self.flushLoggedErrors(KeyError)) == 1

    def test_a_login(self) -> None:
        """Not in the clear; then who the client is is known, and a refusal takes its time."""
        protocol, _ = self.connect(self.listener())
        in_clear = self.successResultOf(_later(protocol.authenticate("bob", "secret")))
        assert in_clear.code == 538  # though nobody may log in here at all
        hooks = compose_hooks(auth=[Passwords(bob="secret")], reactor=self.clock)
        for in_clear in (False, True):
            listener = self.listener()
            listener.hooks = hooks
            listener.listener = replace(listener.listener, auth_in_clear=in_clear)
            protocol, _ = self.connect(listener)
            answer = _later(protocol.authenticate("bob", "secret"))
            if in_clear:
                assert self.successResultOf(answer) == "bob" == protocol.client.user
            else:
                assert self.successResultOf(answer).code == 538
                assert protocol.client.user is None
        wrong = _later(protocol.authenticate("bob", "wrong"))
        self.assertNoResult(wrong)
        self.clock.advance(1)
        assert self.successResultOf(wrong).code == 535
        step = self.successResultOf(_later(protocol.login("PLAIN").step(b"\0bob\0secret")))
        assert isinstance(step, Success)
        waiting = _later(protocol.login("PLAIN").step(b"\0bob\0wrong"))
        protocol.connectionLost()
        assert isinstance(self.successResultOf(waiting), Refusal)

    def test_silence(self) -> None:
        """Who says nothing for too long is told so, and dropped if it does not go."""
        listener = self.listener(Polite, command_timeout=30.0)
        protocol, wire = self.connect(listener)
        self.clock.advance(20)
        protocol.dataReceived(b"x")
        self.clock.pump([1] * 29)
        assert wire.value() == b"hello x"
        self.clock.pump([1] * 3)
        assert wire.value() == b"hello xtoo slow" and not wire.aborted
        self.clock.pump([1] * 17)
        assert wire.aborted
        assert "timed out" in [event.verdict for event in self.seen.events]

    def test_two_of_one_name(self) -> None:
        """Or one of the host's own: refused when the host is composed."""
        for name in ("echo", "smtp"):
            plugins = Brings(), Brings()
            plugins[0].protocol = name
            bound = tuple(Bound("serve", "x", each) for each in plugins)
            hooks = Hooks(reactor=self.clock, services=bound[: 1 if name == "smtp" else 2])
            self.assertRaises(ValueError, served_protocols, hooks)


TOML = """
hostname = "mx.example.org"
state = "state"
[[listen]]
name = "echo"
endpoint = "tcp:0"
protocol = "ecko"
[[serve]]
plugin = "echoing:Brings"
[[relay]]
plugin = "authenticated"
[[route]]
plugin = "mx"
[queue]
plugin = "memory"
[deliver.smtp]
plugin = "smtp"
"""


def test_a_protocol_that_nobody_brings(tmp_path: Path) -> None:
    """The line is named, and the nearest word."""
    (tmp_path / "echoing.py").write_text(
        "class Brings:\n    protocol = 'echo'\n    def __init__(self, settings, site): pass\n"
        "    def session(self, connection): pass\n"
    )
    file = tmp_path / "mailframe.toml"
    file.write_text(TOML)
    [error] = check(file, Clock()).errors
    assert error.line == 7 and "there is no protocol 'ecko'" in error.message
    assert "did you mean" in error.message and "echo" in error.message
    file.write_text(TOML.replace("ecko", "echo"))
    assert check(file, Clock()).errors == ()


def test_a_protocol_that_no_listener_speaks(tmp_path: Path) -> None:
    """It runs as it is, but for nothing: a warning at the plugin's line."""
    (tmp_path / "echoing.py").write_text(
        "class Brings:\n    protocol = 'echo'\n    def __init__(self, settings, site): pass\n"
        "    def session(self, connection): pass\n"
    )
    file = tmp_path / "mailframe.toml"
    file.write_text(TOML.replace("ecko", "smtp"))
    checked = check(file, Clock())
    [warning] = [each for each in checked.warnings if each.key == "serve.plugin"]
    assert checked.errors == () and warning.line == 9
    assert "no [[listen]] has protocol = 'echo'" in warning.message

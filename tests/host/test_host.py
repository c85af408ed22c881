"""A whole host in this process, on loopback and Twisted's reactor."""

from __future__ import annotations

import json
import os
import signal
import smtplib
import socket
import stat
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import TestCase

from mailframe.config import Composition, ConfigErrors, load
from mailframe.eventual import settled
from mailframe.host import Host, make_service
from mailframe.host.listening import StartError
from mailframe.host.resources import Resources
from mailframe.settings import Listener
from mailframe.testing.certificates import make_authority
from mailframe.testing.values import envelope

ASKING = '[[listen]]\nname = "asking"\nendpoint = "tcp:1"\nclient_ca = "nowhere"\n'
TOML = """\
hostname = "mx.example.org"
state = "state"
stop_timeout = 5

[[listen]]
name = "mx"
endpoint = "tcp:0:interface=127.0.0.1"

[[listen]]
name = "lmtp"
endpoint = "unix:{folder}/lmtp"
protocol = "lmtp"

[[relay]]
plugin = "inbound"
domains = ["example.org"]

[[route]]
plugin = "mailboxes"
domains = ["example.org"]
file = "mailboxes"
deliver = "maildir"

[queue]
plugin = "sqlite"

[deliver.maildir]
plugin = "maildir"
path = "mail/{{domain}}/{{user}}/Maildir"
"""


class HostTests(TestCase):
    """Each test has a folder; hosts made by `host` are stopped at the end."""

    timeout = 20

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mailframe"))
        (self.folder / "mailboxes").write_text("alice\n")
        self.state = self.folder / "state"

    def write(self, more: str = "", toml: str = TOML) -> Path:
        """The configuration file."""
        file = self.folder / "mailframe.toml"
        file.write_text(toml.format(folder=self.folder) + more)
        return file

    def host(self, more: str = "") -> Host:
        """A host that has been started."""
        host = Host(load(self.write(more)), reactor)
        host.privilegedStartService()
        host.startService()
        self.addCleanup(host.stopService)
        return host

    async def test_takes_mail_to_a_maildir(self) -> None:
        """From the socket to the mailbox; and the second listener speaks LMTP."""
        host = self.host()
        _, port = host.ports["mx"]
        await deferToThread(send, port, b"Subject: hello\r\n\r\nHi\r\n")
        new = self.folder / "mail" / "example.org" / "alice" / "Maildir" / "new"
        await until(lambda: new.is_dir() and any(new.iterdir()))
        (file,) = new.iterdir()
        octets = file.read_bytes().replace(b"\r\n", b"\n")
        self.assertIn(b"Subject: hello\n\nHi\n", octets)
        greeting = await deferToThread(greeting_of, str(self.folder / "lmtp"))
        self.assertTrue(greeting.startswith(b"220 mx.example.org"))

    async def test_takes_mail_of_its_plugins(self) -> None:
        """What one submits is durable when it has the id, and delivered like all mail."""
        host = self.host()
        around = envelope(None, "alice@example.org", id="N1")
        submitted = await settled(host.resources.submit(around, b"Subject: away\r\n\r\nHi\r\n"))
        self.assertEqual(submitted, "N1")
        new = self.folder / "mail" / "example.org" / "alice" / "Maildir" / "new"
        await until(lambda: new.is_dir() and any(new.iterdir()))
        (file,) = new.iterdir()
        self.assertIn(b"Subject: away", file.read_bytes())

    def test_what_owns_leases_is_named_for_each_start(self) -> None:
        """By the host, the worker, and what no other start has."""
        composition = load(self.write())
        owners = [Resources(composition, reactor, time.time, worker=3).owner for _ in range(2)]
        self.assertTrue(all(owner.startswith("mx.example.org/3/") for owner in owners))
        self.assertNotEqual(*owners)

    async def test_says_where_it_is(self) -> None:
        """STATE/ports has each listener's real address; socket and folder are the owner's."""
        host = self.host()
        ports = json.loads((self.state / "ports").read_text())
        self.assertEqual(ports["mx"], ["127.0.0.1", host.ports["mx"][1]])
        self.assertEqual(ports["lmtp"], [f"{self.folder}/lmtp", 0])
        self.assertEqual(stat.S_IMODE((self.state / "control").stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(self.state.stat().st_mode), 0o700)

    async def test_knows_its_own_listeners(self) -> None:
        """Those of SMTP: plugins ask, so that mail is not sent in a circle."""
        host = self.host()
        _, port = host.ports["mx"]
        assert host.resources.is_own("127.0.0.1", port)
        assert not host.resources.is_own("127.0.0.2", port)
        assert not host.resources.is_own("127.0.0.1", port + 1)

    async def test_stops_whole(self) -> None:
        """Afterwards nobody listens, the door is gone, and another host may start here."""
        host = self.host()
        _, port = host.ports["mx"]
        await host.stopService()
        self.assertFalse((self.state / "ports").exists())
        self.assertFalse((self.state / "control").exists())
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        self.host()

    def test_a_watchdog_unless_it_is_not_wanted(self) -> None:
        """block_warning = false has none."""
        self.assertTrue(self.host().getServiceNamed("watchdog").running)
        quiet = Host(load(self.write(toml="block_warning = false\n" + TOML)), reactor)
        self.assertNotIn("watchdog", quiet.namedServices)

    async def test_a_session_ends_with_421(self) -> None:
        """A client that is connected at the stop reads why before the connection closes."""
        host = self.host()
        _, port = host.ports["mx"]
        client = await deferToThread(socket.create_connection, ("127.0.0.1", port), 5)
        self.addCleanup(client.close)
        reader = client.makefile("rb")
        self.addCleanup(reader.close)
        await deferToThread(reader.readline)
        stopped = host.stopService()
        self.assertTrue((await deferToThread(reader.readline)).startswith(b"421 4.3.2"))
        await stopped

    def test_a_second_host_on_one_state(self) -> None:
        """Two hosts never share a state folder: the second says so and leaves it alone."""
        self.host()
        second = Host(load(self.write()), reactor)
        with self.assertRaises(StartError) as caught:
            second.privilegedStartService()
        self.assertIn("in use by another process", str(caught.exception))

    async def test_a_taken_port(self) -> None:
        """The start fails with the listener's name; what had been taken is given back."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            taken = other.getsockname()[1]
            more = f'\n[[listen]]\nname = "b"\nendpoint = "tcp:{taken}:interface=127.0.0.1"\n'
            host = Host(load(self.write(more)), reactor)
            with self.assertRaises(StartError) as caught:
                host.privilegedStartService()
        self.assertIn("listener 'b' cannot listen on tcp:", str(caught.exception))
        self.assertIn("EADDRINUSE", str(caught.exception))
        self.assertFalse((self.state / "ports").exists())
        await until(lambda: not (self.folder / "lmtp").exists())
        self.host()

    def test_a_state_that_cannot_be(self) -> None:
        """A state folder that is a file is named."""
        self.state.touch()
        host = Host(load(self.write()), reactor)
        with self.assertRaises(StartError) as caught:
            host.privilegedStartService()
        self.assertIn(f"{self.state}", str(caught.exception))

    async def test_a_dead_hosts_socket_is_replaced(self) -> None:
        """What a killed host left at the door does not keep the next one out."""
        self.state.mkdir()
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(self.state / "control"))
        (self.state / "ports").write_text("{}")
        host = self.host()
        self.assertEqual(set(json.loads((self.state / "ports").read_text())), set(host.ports))

    def test_wrong_settings_do_not_start(self) -> None:
        """Unknown users, missing certificates and listeners that could not work are named."""
        for top, tables, words in (
            ('user = "no-such-user"\n', "", "no user 'no-such-user'"),
            ("", '[tls]\ncertificates = "nowhere"\n', "[tls] certificates"),
            ("", '[[listen]]\nname = "x"\nendpoint = "tcp:1"\ntls = "implicit"\n', "implicit"),
            ("", ASKING + '[tls]\ncertificates = "x"\n', "'asking': client_ca: "),
        ):
            with self.assertRaises((StartError, ConfigErrors)) as caught:
                Host(load(self.write(tables, top + TOML)), reactor)
            self.assertIn(words, str(caught.exception))

    def test_a_composition_without_a_queue(self) -> None:
        """Python can leave out what the file's reader would ask for."""
        composition = load(self.write())
        sections = tuple(each for each in composition.sections if each.stage != "queue")
        without = replace(composition, sections=sections)
        with self.assertRaises(StartError):
            Host(without, reactor)
        resources = Resources(without, reactor, time.time)
        with self.assertRaises(LookupError):
            resources.store()
        with self.assertRaises(LookupError):
            resources.submit(envelope(), b"")

    def test_a_composition_of_pythons_is_checked(self) -> None:
        """What the reader of a file would refuse is refused all the same."""
        composition = load(self.write())
        listener = Listener(name="b", endpoint="tpc:25", tls="implicit")
        settings = replace(composition.settings, listen=(listener,), threads=0)
        with self.assertRaises(StartError) as caught:
            Host(Composition(settings, composition.sections), reactor)
        for words in ("threads: ", "listen.0.endpoint: ", "listen.0.tls: "):
            self.assertIn(words, str(caught.exception))

    def test_a_control_socket_that_cannot_be(self) -> None:
        """The start fails with the file's name, and the ports are given back."""
        host = Host(load(self.write()), reactor)
        host.privilegedStartService()
        (self.state / "control").mkdir()
        with self.assertRaises(StartError) as caught:
            host.startService()
        self.assertIn("control", str(caught.exception))
        (self.state / "control").rmdir()
        self.addCleanup(host.stopService)

    async def test_an_endpoint_that_fails_later(self) -> None:
        """The host stops the reactor rather than run without a listener."""
        late: Deferred[None] = Deferred()
        stopped: list[bool] = []
        self.patch(reactor, "stop", lambda: stopped.append(True))
        self.patch(TCP4ServerEndpoint, "listen", lambda *_: late)
        self.host()
        self.assertFalse((self.state / "ports").exists())
        late.errback(OSError(13, "Permission denied"))
        self.assertEqual(stopped, [True])
        self.assertFalse((self.state / "ports").exists())

    def test_reload(self) -> None:
        """The certificates are read again; a host without any has nothing to read."""
        self.host().reload()
        make_authority().issue("mx.example.org").write_live(self.folder / "certificates")
        host = Host(load(self.write('[tls]\ncertificates = "certificates"\n')), reactor)
        assert host.certificates is not None
        reloads: list[bool] = []
        self.patch(host.certificates, "reload", lambda: reloads.append(True))
        host.reload()
        self.assertEqual(reloads, [True])

    def test_reload_says_what_needs_a_restart(self) -> None:
        """One worker reads no configuration again, and does not pretend to."""
        file = self.write()
        host = Host(load(file), reactor)
        said: list[str] = []

        def hear(event: Any) -> None:
            if event["log_level"].name != "info":
                said.append(formatEvent(event))

        globalLogPublisher.addObserver(hear)
        self.addCleanup(globalLogPublisher.removeObserver, hear)
        text = file.read_text()
        file.write_text(f"# the same, a line later\n{text}")
        host.reload()
        self.assertEqual(said, [])
        more = '[[route]]\nplugin = "mx"\n[deliver.smtp]\nplugin = "smtp"\n[limits]\nerrors = 5\n'
        file.write_text(f'user = "nobody"\n{text}{more}')
        host.reload()
        tables = {"[limits]", "user", "[[route]]", "[deliver]"}
        self.assertIn(f"{file} changed: restart to use it: ", said[0])
        self.assertEqual(set(said[0].rpartition(": ")[2].split(", ")), tables)
        file.write_text(text + "[limit]\n")
        host.reload()
        self.assertIn("the configuration is wrong now: ", said[1])
        self.assertIn("unknown table", said[1])

    def test_make_service(self) -> None:
        """A file's path or a Composition give the same host."""
        file = self.write()
        self.assertEqual(make_service(file).settings, make_service(load(file)).settings)
        with self.assertRaises(ConfigErrors):
            make_service(self.write('[[relay]]\nplugin = "no-such-plugin"\n'))

    async def test_hangup_reads_the_certificates(self) -> None:
        """SIGHUP reloads, and is as it was once the host has stopped."""
        before = signal.getsignal(signal.SIGHUP)
        host = self.host()
        reloaded: list[bool] = []
        host.reload = lambda: reloaded.append(True)  # type: ignore[method-assign]
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: reloaded)
        await host.stopService()
        self.assertEqual(signal.getsignal(signal.SIGHUP), before)

    async def test_a_service_that_hangs_is_left_behind(self) -> None:
        """stop_timeout bounds the stop; the store is closed all the same."""
        host = self.host()
        host.settings = replace(host.settings, stop_timeout=0.2)
        Hanging().setServiceParent(host)
        await host.stopService()
        self.assertFalse((self.state / "control").exists())


class Hanging(Service):
    """Never says that it has stopped."""

    def stopService(self) -> Any:
        return Deferred()


async def until(true: Any) -> None:
    """Waits for it; the test's own timeout is the limit."""
    while not true():
        await deferLater(reactor, 0.01)


def send(port: int, message: bytes) -> None:
    """One message to alice, by the standard library's client."""
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        client.sendmail("bob@b.example", ["alice@example.org"], message)


def greeting_of(path: str) -> bytes:
    """The first line that a unix socket says."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(path)
        return client.makefile("rb").readline()

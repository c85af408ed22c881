"""The servers that are fuzzed: a Reception in this process, or a whole twistd."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from fuzz_model import Sent
from fuzz_replies import Broken
from fuzz_rules import (
    COMMANDS,
    ERRORS,
    HEADER_LINES,
    HEADER_SIZE,
    HOPS,
    MESSAGE_SIZE,
    RECIPIENTS,
    USERS,
)
from fuzz_session import IDLE
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from zope.interface import implementer

from mailframe.message import Envelope, Recipient, Route
from mailframe.plugin import Filter, NoSettings
from mailframe.queue.submission import Submission
from mailframe.reception.listener import Reception
from mailframe.reception.shared import Shared
from mailframe.settings import Limits, Listener, TlsSettings
from mailframe.testing.certificates import make_authority
from mailframe.testing.hooks import compose_hooks
from mailframe.testing.values import site
from mailframe.wire.certificates import Certificates
from mailframe_plugins.queue_memory import MemoryQueue, Settings
from mailframe_plugins.relay_authenticated import Authenticated
from mailframe_plugins.relay_inbound import Inbound
from mailframe_plugins.relay_inbound import Settings as InboundSettings

LIMITS = {
    "connections_per_client": 1000, "recipients": RECIPIENTS, "message_size": MESSAGE_SIZE,
    "commands": COMMANDS, "errors": ERRORS, "hops": HOPS, "header_size": HEADER_SIZE,
    "header_lines": HEADER_LINES, "command_timeout": IDLE, "data_timeout": IDLE,
    "tls_timeout": 10,
}  # fmt: skip


class Stored(NamedTuple):
    """A committed message; its octets by length and hash."""

    port: int
    recipients: frozenset[str]
    user: bool
    size: int
    digest: bytes

    def check(self, sent: Sent) -> None:
        """Broken where it is not what the client sent."""
        if (self.size, self.digest) != (len(sent.content), hashlib.sha256(sent.content).digest()):
            raise Broken(f"{self.size} octets were stored where {len(sent.content)} were sent")
        plain = {path.decode() for path in sent.recipients}
        if not plain <= self.recipients or len(self.recipients) > sent.accepted:
            raise Broken(f"stored for {set(self.recipients)}, accepted for {plain}")
        ours = all(to.endswith("@example.org") or to == "postmaster" for to in self.recipients)
        if not (ours or sent.user):
            raise Broken(f"an open relay: stored for {set(self.recipients)}")


@implementer(ICredentialsChecker)
class Checker:
    """Knows the model's users; sometimes takes a moment."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        right = USERS.get(credentials.username) == credentials.password
        answer: Any = credentials.username if right else ()
        return deferLater(self._reactor, 0.002, lambda: answer) if right else succeed(answer)


class Hesitant(Filter):
    """Says yes to everything, now and then after a while: what is pipelined must wait."""

    def __init__(self, reactor: Any) -> None:
        self._reactor, self._rng = reactor, Random(1)

    def _soon(self, *asked: Any) -> Any:
        if self._rng.random() < 0.8:
            return None
        nothing: Any = lambda: None  # noqa: E731
        return deferLater(self._reactor, self._rng.choice((0, 0.001, 0.01)), nothing)

    connected = hello = sender = recipient = content = _soon


class Anywhere:
    """Routes every address to the agent "box"."""

    def route(self, envelope: Envelope, recipient: Recipient) -> Any:
        return Route("box")


class InProcess:
    """A Reception on loopback for each listener, one store in memory, faults counted."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.pid = os.getpid()
        self.committed: dict[str, Stored] = {}
        self.faults: list[str] = []
        self.ports: dict[str, int] = {}
        authority = make_authority()
        self.cadata = authority.pem.decode()
        self._folder = tempfile.TemporaryDirectory(prefix="mailframe-fuzz-")
        live = Path(self._folder.name)
        authority.issue("localhost").write_live(live)
        self.certificates = Certificates(TlsSettings(live), "localhost")
        self.store = MemoryQueue(Settings(), site(now=time.time))
        self._listening: list[tuple[Any, Reception]] = []

    def start(self) -> None:
        """Listen; in the reactor's thread."""
        reactor = self._reactor
        globalLogPublisher.addObserver(self._watch)
        hooks = compose_hooks(
            auth=[Checker(reactor)],
            relay=[
                Inbound(InboundSettings(("example.org",)), site()),
                Authenticated(NoSettings(), site()),
            ],
            filters=[Hesitant(reactor)],
            routes=[Anywhere()],
            store=self.store,
            reactor=reactor,
            now=time.time,
        )
        door = Submission(
            hooks=hooks,
            store=self.store,
            now=time.time,
            lease=lambda: None,
            hand_over=self._committed,
        )
        for name, more in _LISTENERS.items():
            reception = Reception(
                Shared(
                    hostname="localhost",
                    listener=Listener(name=name, endpoint="tcp:0", **more),
                    limits=Limits(**LIMITS),  # type: ignore[arg-type]
                    hooks=hooks,
                    store=self.store,
                    certificates=self.certificates,
                    reactor=reactor,
                    now=time.time,
                    commit=door.commit,
                )
            )
            port = reactor.listenTCP(0, reception, interface="127.0.0.1", backlog=200)
            self._listening.append((port, reception))
            self.ports[name] = port.getHost().port

    def _committed(self, entry: Any, claimed: bool) -> None:
        content, envelope = entry.message.content, entry.message.envelope
        self.committed[entry.id] = Stored(
            envelope.client.port,
            frozenset(str(each.recipient.address) for each in entry.pending),
            envelope.client.user is not None,
            content.body_size,
            hashlib.sha256(content.body).digest(),
        )
        self.store.change([entry.id], "delete", time.time())

    def _watch(self, event: Any) -> None:
        if event.get("log_level", LogLevel.info) >= LogLevel.error:
            failure = event.get("log_failure")
            trace = failure.getTraceback() if failure is not None else ""
            self.faults.append(f"{formatEvent(event)}\n{trace}")

    async def stop(self) -> None:
        """Close; what is left behind then is a fault."""
        for port, reception in self._listening:
            await port.stopListening()
            reception.drop()
            await reception.stop_gracefully()
            if reception.sessions:
                self.faults.append(f"{reception.sessions} sessions are left")
        globalLogPublisher.removeObserver(self._watch)
        if self.store.counts()["messages"] or self.store.used:
            self.faults.append(f"drafts of {self.store.used} octets are left in the store")
        self._folder.cleanup()

    def check(self, id: str, sent: Sent) -> None:
        """A message that the client was told is queued. Raises Broken."""
        stored = self.committed.pop(id, None)
        if stored is None:
            raise Broken(f"{id} was acknowledged and is not in the store")
        stored.check(sent)

    def settle(self, unheard: dict[int, list[Sent]]) -> None:
        """At the end: what was committed without anybody hearing so must have been sent."""
        for id, stored in self.committed.items():
            for sent in unheard.get(stored.port, []):
                try:
                    stored.check(sent)
                    break
                except Broken:
                    continue
            else:
                raise Broken(f"{id} ({stored.size} octets, port {stored.port}) was never accepted")


_LISTENERS: dict[str, dict[str, Any]] = {
    "mx": {}, "lmtp": {"protocol": "lmtp"}, "smtps": {"tls": "implicit"}
}  # fmt: skip

_TOML = """
hostname = "localhost"
state = "state"
[limits]
{limits}
[tls]
certificates = "certificates"
[[listen]]
name = "mx"
endpoint = "tcp:0:interface=127.0.0.1"
[[listen]]
name = "lmtp"
endpoint = "tcp:0:interface=127.0.0.1"
protocol = "lmtp"
[[listen]]
name = "smtps"
endpoint = "tcp:0:interface=127.0.0.1"
tls = "implicit"
[[auth]]
plugin = "passwords"
file = "users"
[[relay]]
plugin = "inbound"
domains = ["example.org"]
[[relay]]
plugin = "authenticated"
[[route]]
plugin = "mailboxes"
domains = ["example.org"]
file = "mailboxes"
deliver = "box"
catch_all = "box"
[[route]]
plugin = "mx"
deliver = "nowhere"
[queue]
plugin = "sqlite"
[deliver.box]
plugin = "maildir"
path = "mail/{{domain}}/{{user}}/Maildir"
line_ends = "crlf"
[deliver.nowhere]
plugin = "discard"
"""
_ID = re.compile(rb"^\tid ([0-9A-Z]{16})", re.M)


class Live:
    """A twistd with the SQLite queue and Maildirs, looked at from outside."""

    def __init__(self, folder: Path) -> None:
        sys.path.insert(0, str(Path(__file__).parents[1] / "live"))
        from live_servers import Host

        authority = make_authority()
        self.cadata = authority.pem.decode()
        folder.mkdir(parents=True, exist_ok=True)
        authority.issue("localhost").write_live(folder / "certificates")
        limits = "".join(f"{key} = {value}\n" for key, value in LIMITS.items())
        self.host = Host(folder, _TOML.format(limits=limits), mailboxes="box\n")
        self.host.command("user", "add", "alice", stdin="secret\nsecret\n")
        self._mail = folder / "mail"
        self._accepted: dict[str, Sent] = {}
        self._lock = threading.Lock()

    @contextmanager
    def running(self) -> Iterator[None]:
        """While it runs."""
        with self.host:
            self.ports = self.host.ports()
            assert self.host.process.process is not None
            self.pid = self.host.process.process.pid
            yield

    @property
    def faults(self) -> list[str]:
        """What the host has said of its own errors."""
        said = self.host.process.said()
        return [said[-4000:]] if "Traceback" in said or "(ref " in said else []

    def check(self, id: str, sent: Sent) -> None:
        """Remember it; the mailbox is looked at in the end."""
        with self._lock:
            self._accepted[id] = sent

    def settle(self, unheard: dict[int, list[Sent]]) -> None:
        """All that was acknowledged is in the mailbox, octet by octet, and nothing else is."""
        expected = {id for id, sent in self._accepted.items() if not sent.user}
        until = time.monotonic() + 60
        while True:
            found = self._delivered()
            missing = expected - set(found)
            if not missing:
                break
            if time.monotonic() > until:
                raise Broken(f"acknowledged and not delivered: {sorted(missing)[:5]}")
            time.sleep(0.5)
        aborted = [sent.content for sents in unheard.values() for sent in sents]
        for id, octets in found.items():
            known = self._accepted.get(id)
            contents = aborted if known is None else [known.content]
            if not any(octets.endswith(b"\r\n" + content) for content in contents):
                raise Broken(f"{id} is delivered and is not what was sent: {octets[:300]!r}")

    def _delivered(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for file in self._mail.glob("*/*/Maildir/new/*"):
            octets = file.read_bytes()
            match = _ID.search(octets)
            if match is None:
                raise Broken(f"a file without an id: {file}")
            found[match[1].decode()] = octets
        return found

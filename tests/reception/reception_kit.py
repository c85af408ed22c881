"""A reception to talk to: a string transport, a clock, a store in memory, plugins as objects."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

from OpenSSL import SSL
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet import _newtls
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols import tls
from twisted.python.failure import Failure
from zope.interface import implementer

from mailframe.eventual import at_once
from mailframe.hooks import Bound, Hooks
from mailframe.interfaces import IDraft, IObserver, IRelayPolicy, IRouter
from mailframe.message import Content, Entry, Message, Pending, Route
from mailframe.plugin import Filter
from mailframe.queue.submission import Submission
from mailframe.reception.listener import Reception
from mailframe.reception.shared import Shared
from mailframe.settings import Limits, Listener
from mailframe.smtp.reply import RECIPIENT_OK

HOST = "mx.example.org"
NOW = 1763849640.0


class _Base:
    """What _newtls calls to get past the TLS layer."""

    @staticmethod
    def write(transport, data):
        transport.write_in_clear(data)

    @staticmethod
    def loseConnection(transport):
        transport.closed = True

    @staticmethod
    def registerProducer(transport, producer, streaming):
        StringTransport.registerProducer(transport, producer, streaming)

    @staticmethod
    def unregisterProducer(transport):
        StringTransport.unregisterProducer(transport)


@implementer(IConsumer, IPushProducer)
class Wire(StringTransport):
    """The server's transport: it can start TLS, fill up, and is told when it is closed."""

    TLS = False
    _tlsClientDefault = False
    bufferSize = 1 << 16
    most_read = 1 << 16

    def __init__(self, clock, peer=None):
        self.clock = clock
        super().__init__(peerAddress=peer or IPv4Address("TCP", "192.0.2.7", 40000))
        self.protocol = None
        self.connected = True
        self.closed = False
        self.aborted = False
        self.writes = []
        self.held = None  # octets not read by the client, where it does not read
        self.no_delay = False

    def setTcpNoDelay(self, enabled):
        self.no_delay = enabled

    def startTLS(self, context_factory, normal=True):
        # Twisted's TLS layer joins small writes by a timer of its reactor: here, of the clock.
        with mock.patch.object(tls, "_get_default_clock", lambda: self.clock):
            _newtls.startTLS(self, context_factory, normal, _Base)

    def write(self, data):
        if self.TLS:
            self.protocol.write(data)
        else:
            self.write_in_clear(data)

    def write_in_clear(self, data):
        if self.closed:
            return
        self.writes.append(data)
        if self.held is not None:
            self.held += len(data)
            if self.held > self.bufferSize and self.producer is not None:
                self.producer.pauseProducing()
        StringTransport.write(self, data)

    def registerProducer(self, producer, streaming):
        if self.TLS:
            self.protocol.registerProducer(producer, streaming)
        else:
            StringTransport.registerProducer(self, producer, streaming)

    def unregisterProducer(self):
        if self.TLS:
            self.protocol.unregisterProducer()
        elif self.producer is not None:
            StringTransport.unregisterProducer(self)

    def loseConnection(self):
        if self.TLS:
            self.protocol.loseConnection()
        else:
            self.closed = True

    def abortConnection(self):
        self.aborted = self.closed = True

    def pauseProducing(self):
        self.producerState = "paused"

    def resumeProducing(self):
        self.producerState = "producing"

    @property
    def streamingProducer(self):
        return self.streaming

    @property
    def reading(self):
        return self.producerState == "producing"


@implementer(IDraft)
class MemoryDraft:
    """A draft in memory, whose verbs can be made to fail or to wait."""

    def __init__(self, store, envelope):
        self._store = store
        self.envelope = envelope
        self.octets = bytearray()
        self.aborted = False
        self.committed = False

    def write(self, octets):
        assert not self.aborted
        self.octets += octets
        return self._store.outcome("write", None)

    def content(self):
        return Content(b"", bytes(self.octets), len(self.octets))

    def commit(self, envelope, headers, lease=None):
        content = replace(self.content(), prefix=headers)
        pending = tuple(Pending(recipient, NOW) for recipient in envelope.recipients)
        entry = Entry(
            Message(envelope.id, envelope, content), pending, NOW, leased=lease is not None
        )
        return self._store.outcome("commit", entry, lambda: self._commit(entry))

    def _commit(self, entry):
        self.committed = True
        self._store.entries.append(entry)

    def abort(self):
        self.aborted = True


class MemoryStore:
    """begin() only. `wrong` maps a verb to an exception, `slow` holds verbs that wait."""

    def __init__(self):
        self.drafts = []
        self.entries = []
        self.wrong = {}
        self.slow = set()
        self.waiting = []

    def begin(self, envelope):
        if "begin" in self.wrong:
            raise self.wrong["begin"]
        draft = MemoryDraft(self, envelope)
        self.drafts.append(draft)
        return draft

    def outcome(self, verb, value, done=lambda: None):
        if verb in self.slow:
            waiting = Deferred()
            self.waiting.append(waiting)
            return waiting.addCallback(lambda _: (self._fail(verb), done(), value)[2])
        self._fail(verb)
        done()
        return value

    def _fail(self, verb):
        if verb in self.wrong:
            raise self.wrong[verb]

    def go_on(self):
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each.callback(None)


@implementer(IRelayPolicy)
class Open:
    """Lets everybody send to everybody, or what `answers` says by local part."""

    def __init__(self, answers=None):
        self.answers = answers or {}
        self.asked = []

    def judge(self, envelope, recipient):
        self.asked.append(recipient.address.local)
        return self.answers.get(recipient.address.local, RECIPIENT_OK)


@implementer(IRouter)
class Router:
    """Routes everything to the agent "box", or what `answers` says by local part."""

    def __init__(self, answers=None):
        self.answers = answers or {}

    def route(self, envelope, recipient):
        return self.answers.get(recipient.address.local, Route("box"))


@implementer(ICredentialsChecker)
class Passwords:
    """Users and their passwords; waits where told to."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, **users):
        self.users = users
        self.wait = None

    def requestAvatarId(self, credentials):
        right = self.users.get(credentials.username.decode())
        if right is not None and credentials.password.decode() == right:
            return credentials.username
        failed = Deferred()
        failed.errback(UnauthorizedLogin())
        return failed


@implementer(IObserver)
class Watching:
    """Remembers all events."""

    wants = None

    def __init__(self):
        self.events = []

    def observe(self, event):
        self.events.append(event)

    def verdicts(self, stage):
        return [event.verdict for event in self.events if event.stage == stage]


def bind(stage, *plugins):
    return tuple(
        plugin if isinstance(plugin, Bound) else Bound(stage, f"{stage}{at}", plugin)
        for at, plugin in enumerate(plugins)
    )


class Speaks(Filter):
    """A filter whose stages are given as functions."""

    def __new__(cls, **stages):
        methods = {
            name: (lambda self, *args, _function=function: _function(*args))
            for name, function in stages.items()
        }
        return super().__new__(type("Speaks", (Filter,), methods))

    def __init__(self, **stages):
        pass


class Place:
    """A listener with everything behind it."""

    def __init__(
        self,
        *,
        relay=None,
        routes=None,
        filters=(),
        auth=(),
        observers=(),
        certificates=None,
        limits=None,
        may_claim=lambda: True,
        **listener,
    ):
        self.clock = Clock()
        self.store = MemoryStore()
        self.handed = []
        self.hooks = Hooks(
            reactor=self.clock,
            relay=bind("relay", relay or Open()),
            routes=bind("route", routes or Router()),
            filters=bind("filter", *filters),
            auth=bind("auth", *auth),
            observers=bind("observe", *observers),
            now=lambda: NOW,
        )
        door = Submission(
            hooks=self.hooks,
            store=self.store,
            now=lambda: NOW,
            lease=lambda: NOW + 60 if may_claim() else None,
            hand_over=lambda entry, claimed: self.handed.append((entry, claimed)),
        )
        self.reception = Reception(
            Shared(
                hostname=HOST,
                listener=Listener(**{"name": "mx", "endpoint": "tcp:25", **listener}),
                limits=limits or Limits(),
                hooks=self.hooks,
                store=self.store,
                certificates=certificates,
                reactor=self.clock,
                now=lambda: NOW,
                commit=door.commit,
            )
        )

    def connect(self, peer=None):
        return Talk(self, peer)

    def greeted(self, *, hello="EHLO client.example", peer=None):
        talk = self.connect(peer)
        talk.say(hello)
        return talk

    @property
    def stored(self):
        """The octets of all committed messages."""
        return [entry.message.content.at_hand for entry in self.store.entries]


class Talk:
    """A client's side of one connection, in the clear or over real TLS."""

    def __init__(self, place, peer=None):
        self.place = place
        self.wire = Wire(place.clock, peer)
        self.protocol = place.reception.buildProtocol(None)
        self.wire.protocol = self.protocol
        self.tls = None
        self.seen = 0
        self.protocol.makeConnection(self.wire)
        self.greeting = self.heard()

    def send(self, octets):
        """Octets as they are."""
        if self.tls is not None:
            self.tls.send(octets)
            self._flush()
        else:
            self.wire.protocol.dataReceived(octets)
        self._see_close()

    def say(self, *lines):
        """Lines in one write; what is heard after them, as lines."""
        if lines:
            self.send("".join(f"{line}\r\n" for line in lines).encode())
        return self.heard()

    def heard(self):
        """The lines of the replies since the last look."""
        self.place.clock.advance(0)
        octets = self.wire.value()[self.seen :]
        self.seen += len(octets)
        if self.tls is not None:
            octets = self._decrypted(octets)
        return octets.decode().splitlines()

    def codes(self, *lines):
        """What is heard, as codes."""
        return [line[:3] for line in self.say(*lines)]

    def _see_close(self):
        if self.wire.closed and self.wire.connected:
            self.disconnect()

    def half_close(self):
        """The client sends nothing more, and reads on; what is heard then, as codes."""
        self.protocol.readConnectionLost()
        return self.codes()

    def disconnect(self):
        """The connection is gone."""
        if self.wire.connected:
            self.wire.connected = False
            self.wire.protocol.connectionLost(Failure(ConnectionDone()))

    @property
    def closed(self):
        self._see_close()
        return self.wire.closed

    def mail(self, *recipients):
        """MAIL and RCPT in one write; the codes."""
        rcpts = [f"RCPT TO:<{name}@example.org>" for name in recipients or ("bob",)]
        return self.codes("MAIL FROM:<alice@client.example>", *rcpts)

    def message(self, *lines):
        """DATA with these lines; the last reply."""
        self.say("DATA")
        return self.say(*(lines or ("Subject: hello", "", "hello")), ".")[-1]

    # TLS.

    def start_tls(self, name="mx.example.org"):
        """The client's handshake, once STARTTLS was answered or from the first octet."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        self.tls = SSL.Connection(context, None)
        self.tls.set_tlsext_host_name(name.encode())
        self.tls.set_connect_state()
        for _ in range(6):
            try:
                self.tls.do_handshake()
            except SSL.WantReadError:
                pass
            self._flush()
            self.place.clock.advance(0)
            octets = self.wire.value()[self.seen :]
            self.seen += len(octets)
            if octets:
                self.tls.bio_write(octets)
        return self.heard()

    def _flush(self):
        try:
            octets = self.tls.bio_read(1 << 20)
        except SSL.WantReadError:
            return
        self.wire.protocol.dataReceived(octets)

    def _decrypted(self, octets):
        if octets:
            self.tls.bio_write(octets)
        clear = b""
        while True:
            try:
                clear += self.tls.recv(1 << 16)
            except (SSL.WantReadError, SSL.ZeroReturnError):
                return clear


def value(eventual):
    """The value of what must be there already."""
    found = at_once(eventual)
    assert not isinstance(found, Deferred), "still waiting"
    return found

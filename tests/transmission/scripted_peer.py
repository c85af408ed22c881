"""A network in memory with servers that do as they are told: what the client's tests dial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from mailframe.message import Client, Content, Envelope, Message, NextHop, Recipient
from mailframe.resolver import Answer, MxRecord, Unresolvable
from mailframe.smtp.address import Mailbox
from mailframe.transmission import ClientTls, Courier, Exchanges, Opener, Pool, Timeouts

HANG = "hang"  # no reply, ever
DROP = "drop"  # the connection goes away instead of a reply
FULL = ("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "BINARYMIME", "SIZE 1000000")

Says = str | list[str]


@dataclass
class Peer:
    """A server. `says` has replies by verb ("MAIL", "RCPT", "RCPT <b@x.example>", "DOT", …).

    A list is used up from its front; without an entry all is well. `sessions` are what each
    client said, `messages` what was accepted, with dots undone; `cut` octets leave at once.
    """

    extensions: tuple[str, ...] = FULL
    says: dict[str, Says] = field(default_factory=dict)
    lmtp: bool = False
    cut: int = 0
    domain: str = "mx.peer.example"
    sessions: list[list[str]] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    transports: list[Wire] = field(default_factory=list)

    @property
    def said(self) -> list[str]:
        """What the only client, or the last one, said."""
        return self.sessions[-1]

    def reply(self, key: str, default: str) -> str:
        """What is said to this."""
        said = self.says.get(key, default)
        if isinstance(said, list):
            return said.pop(0) if said else default
        return said


class _Conversation:
    """One client at a peer."""

    def __init__(self, peer: Peer, wire: Wire) -> None:
        self.peer, self.wire = peer, wire
        self.buffer = b""
        self.mode, self.left, self.accepted = "command", 0, 0
        self.lines: list[str] = []
        peer.sessions.append(self.lines)
        peer.transports.append(wire)
        self.answer(peer.reply("GREETING", f"220 {peer.domain} ESMTP"))

    def answer(self, reply: str) -> None:
        if reply == DROP:
            self.wire.hang_up()
        elif reply != HANG:
            octets = (reply.replace("\n", "\r\n") + "\r\n").encode()
            step = self.peer.cut or len(octets)
            for at in range(0, len(octets), step):
                self.wire.world.later(self.wire.arrive, octets[at : at + step])

    def receive(self, octets: bytes) -> None:
        self.buffer += octets
        while self._step():
            pass

    def _step(self) -> bool:
        if self.mode == "content":
            buffer = b"\r\n" + self.buffer
            at = buffer.find(b"\r\n.\r\n")
            if at < 0:
                return False
            content, self.buffer = buffer[2 : at + 2], buffer[at + 5 :]
            self.end(content[1:] if content.startswith(b".") else content)
        elif self.mode == "chunk":
            if len(self.buffer) < self.left:
                return False
            content, self.buffer = self.buffer[: self.left], self.buffer[self.left :]
            self.end(content)
        else:
            line, end, rest = self.buffer.partition(b"\r\n")
            if not end:
                return False
            self.buffer = rest
            self.lines.append(line.decode())
            self.command(line.decode())
        return True

    def end(self, content: bytes) -> None:
        if self.mode == "content":
            content = content.replace(b"\r\n..", b"\r\n.")
        self.mode = "command"
        replies = [
            self.peer.reply("DOT", "250 2.0.0 taken")
            for _ in range(self.accepted if self.peer.lmtp else 1)
        ]
        if any(reply.startswith("2") for reply in replies):
            self.peer.messages.append(content)
        for reply in replies:
            self.answer(reply)

    def command(self, line: str) -> None:
        verb, _, argument = line.partition(" ")
        if verb in ("EHLO", "LHLO"):
            rows = "\n".join(f"250-{row}" for row in (self.peer.domain, *self.peer.extensions))
            self.answer(self.peer.reply(verb, rows + "\n250 HELP"))
        elif verb == "MAIL":
            self.accepted = 0
            self.answer(self.peer.reply("MAIL", "250 2.1.0 fine"))
        elif verb == "RCPT":
            path = argument[3 : argument.index(">") + 1]
            reply = self.peer.reply(f"RCPT {path}", self.peer.reply("RCPT", "250 2.1.5 fine"))
            self.accepted += reply.startswith("2")
            self.answer(reply)
        elif verb == "DATA":
            default = "354 go on" if self.accepted else "503 5.5.1 nobody"
            reply = self.peer.reply("DATA", default)
            self.mode = "content" if reply.startswith("354") else "command"
            self.answer(reply)
        elif verb == "BDAT":
            self.mode, self.left = "chunk", int(argument.split()[0])
        elif verb == "QUIT":
            self.answer("221 2.0.0 bye")
        else:
            self.answer(self.peer.reply(verb, "235 2.7.0 in" if verb == "AUTH" else "250 2.0.0 ok"))


class Wire(StringTransport):
    """The client's end. `slow` pauses the client's producer at every write until `go_on`."""

    def __init__(self, world: World, protocol: Any, peer: Peer) -> None:
        super().__init__()
        self.world, self.protocol = world, protocol
        self.is_open, self.slow, self.aborted = True, False, False
        self.conversation = _Conversation(peer, self)

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.is_open:
            self.world.later(self.conversation.receive, data)
            if self.slow and self.producer is not None:
                self.producer.pauseProducing()

    def arrive(self, octets: bytes) -> None:
        if self.is_open:
            self.protocol.dataReceived(octets)

    def loseConnection(self) -> None:
        self.hang_up(ConnectionDone())

    def abortConnection(self) -> None:
        self.aborted = True
        self.hang_up()

    def hang_up(self, why: Exception | None = None) -> None:
        self.world.later(self._lost, why or ConnectionLost())

    def _lost(self, why: Exception) -> None:
        if self.is_open:
            self.is_open = False
            self.protocol.connectionLost(Failure(why))


class World(MemoryReactorClock):
    """Addresses and who listens there; a str is not dialled but says how dialling fails."""

    def __init__(self) -> None:
        super().__init__()
        self.peers: dict[tuple[str, int], Peer | str] = {}
        self.dialled: list[str] = []
        self.pending: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self.slow = False

    def later(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.pending.append((call, arguments))

    def run(self) -> None:
        """Until nothing moves."""
        while self.pending:
            call, arguments = self.pending.pop(0)
            call(*arguments)

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> Any:
        connector = super().connectTCP(host, port, factory, timeout, bindAddress)
        self.dialled.append(host)
        peer = self.peers.get((host, port), "refused")
        if isinstance(peer, Peer):
            protocol = factory.buildProtocol(None)
            wire = Wire(self, protocol, peer)
            wire.slow = self.slow
            protocol.makeConnection(wire)
        elif peer == "refused":
            factory.clientConnectionFailed(connector, Failure(ConnectionRefusedError()))
        return connector


@dataclass
class Zone:
    """DNS: names to exchanges and addresses; an Unresolvable is raised."""

    mxs: dict[str, Any] = field(default_factory=dict)
    hosts: dict[str, Any] = field(default_factory=dict)

    def mx(self, domain: str) -> Answer[MxRecord]:
        found = self.mxs.get(domain, ())
        if isinstance(found, Unresolvable):
            raise found
        return Answer(tuple(MxRecord(*record) for record in found))

    async def addresses(self, host: str) -> Answer[str]:
        found = self.hosts.get(host, Unresolvable("NXDOMAIN", temporary=False))
        if isinstance(found, Unresolvable):
            raise found
        return Answer(tuple(found))


def in_thread(call: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
    """At once, for tests."""
    return maybeDeferred(call, *arguments)


def recipients(*addresses: str) -> list[Recipient]:
    """Recipients of nothing but an address."""
    return [Recipient(Mailbox.parse(address)) for address in addresses]


def message(octets: bytes = b"Subject: hi\r\n\r\nhello\r\n", **envelope: Any) -> Message:
    """A message from s@client.example."""
    envelope.setdefault("sender", Mailbox("s", "client.example"))
    filled = Envelope(id="M1", client=Client("192.0.2.9"), **envelope)
    return Message("M1", filled, Content(b"", octets, len(octets)))


class Network:
    """A courier in a world: `mx.peer.example` at 9.9.9.9, the exchange of `peer.example`.

    `own` are addresses with port 25 of listeners of ours.
    """

    def __init__(self, peer: Peer | None = None, **options: Any) -> None:
        self.world = World()
        self.peer = peer or Peer()
        self.world.peers["9.9.9.9", 25] = self.peer
        self.zone = Zone(
            {"peer.example": [(10, "mx.peer.example")]}, {"mx.peer.example": ["9.9.9.9"]}
        )
        pooling = {name: options.pop(name) for name in list(options) if name in _POOLING}
        self.opener = Opener(
            hostname="us.example",
            reactor=self.world,
            tls=ClientTls(),
            timeouts=Timeouts(),
            lmtp=options.pop("lmtp", False),
            bind=options.pop("bind", ()),
            names=options.pop("names", ()),
        )
        self.pool = Pool(self.opener, self.world, **pooling)
        own = options.pop("own", ())
        self.courier = Courier(
            exchanges=Exchanges(
                self.zone,
                "us.example",
                Random(1),
                is_own=lambda address, port: address in own and port == 25,
            ),
            pool=self.pool,
            timeouts=Timeouts(),
            in_thread=options.pop("in_thread", in_thread),
            **options,
        )

    def begin(
        self, mail: Message, to: list[Recipient], hop: NextHop | None = None
    ) -> Deferred[Any]:
        """Delivery under way, as far as it goes without time passing."""
        sender = to[0].sender or mail.envelope.sender
        hop = hop or NextHop("peer.example")
        begun = Deferred.fromCoroutine(self.courier.deliver(mail, hop, to, sender))
        self.world.run()
        return begun

    def pass_time(self, seconds: float) -> None:
        """And whatever happens then."""
        self.world.advance(seconds)
        self.world.run()


_POOLING = ("connections", "idle", "messages", "back_off")

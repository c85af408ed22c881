"""Servers that answer at random, on a network in memory with a clock of its own.

What each of them was asked and said is written down, with whether the client can have heard it:
by this, and by nothing of the client's, `fuzz_outbound` judges what the client made of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from scripted_peer import World
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

EXTENSIONS = ("8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "BINARYMIME", "HELP", "X-ODD thing")
_PARAMETERS = {"SIZE": "SIZE", "BODY": "8BITMIME", "SMTPUTF8": "SMTPUTF8", "RET": "DSN"}
_PARAMETERS |= {"ENVID": "DSN", "NOTIFY": "DSN", "ORCPT": "DSN"}
_GOOD = {"greeting": 220, "hello": 250, "STARTTLS": 220, "AUTH": 235, "MAIL": 250, "RCPT": 250}
_GOOD |= {"DATA": 354, "final": 250, "RSET": 250, "QUIT": 221, "other": 500}
_ODD = (b"\xff\xfe\r\n", b"hello\r\n", b"250-a\r\n550 b\r\n", b"99 no\r\n", b"650 no\r\n")


@dataclass(eq=False)
class Said:
    """A reply of a peer. `token` stands in its text and nowhere else; `heard` by the client.

    `sound` is False for what the client may not take for a reply to what it asked.
    """

    token: str
    code: int
    status: str
    sound: bool
    host: str
    heard: bool = False

    @property
    def counts(self) -> bool:
        """Whether the client knows it, as what it is."""
        return self.heard and self.sound

    @property
    def is_too_many(self) -> bool:
        """RFC 5321 section 4.5.3.1.10: a limit on a transaction's recipients, perhaps."""
        return self.code in (452, 552) and (self.status or ".0.0")[-4:] in (".5.3", ".0.0")


@dataclass(eq=False)
class Asked:
    """A transaction as a peer saw it. `accepted` are those to whose RCPT it said yes."""

    conversation: Conversation
    mail: Said | None = None
    rcpts: dict[str, Said | None] = field(default_factory=dict)
    data: Said | None = None
    finals: dict[str, Said] = field(default_factory=dict)
    content: bytes = b""
    is_open: bool = True
    began: bool = False  # the content, perhaps

    @property
    def accepted(self) -> list[str]:
        return [each for each, said in self.rcpts.items() if said and said.code < 300]

    def about(self, recipient: str) -> Iterator[Said]:
        """All that the client heard about this recipient, in order."""
        if self.mail is not None and self.mail.code >= 400:
            # What follows is but "MAIL first".
            return iter([self.mail] * self.mail.counts)
        said = [self.rcpts[recipient], self.finals.get(recipient)]
        if self.data is not None and self.data.code >= 400 and recipient in self.accepted:
            said.insert(1, self.data)
        return (each for each in said if each is not None and each.counts)


@dataclass
class WildPeer:
    """A server at one address. `wild` is how often it does what it should not; see `manner`."""

    host: str
    random: Random
    wild: float
    extensions: tuple[str, ...]
    lmtp: bool = False
    tls: str = "never"  # what is demanded of it
    private: bool = False
    conversations: list[Conversation] = field(default_factory=list)


class Conversation:
    """One client at a peer. `wrongs` are what the client may not do."""

    def __init__(self, peer: WildPeer, wire: WildWire) -> None:
        self.peer, self.wire, self.random = peer, wire, peer.random
        self.asked: list[Asked] = []
        self.wrongs: list[str] = []
        self.lines: list[str] = []
        self.offered: tuple[str, ...] = ()  # of the last EHLO that was answered well
        self.confused = False  # an answer too many: the client may take it for another's
        self._buffer = b""
        self._mode, self._left = "command", 0
        self._owed = 0  # replies on their way
        peer.conversations.append(self)
        if peer.tls != "implicit":
            self._say("greeting")

    @property
    def _now(self) -> Asked | None:
        return self.asked[-1] if self.asked and self.asked[-1].is_open else None

    def receive(self, octets: bytes) -> None:
        """Octets of the client."""
        self._buffer += octets
        while self._step():
            pass

    def secured(self) -> None:
        """TLS has begun: all before it is forgotten."""
        self._buffer, self.offered = b"", ()
        if self.peer.tls == "implicit":
            self._say("greeting")

    def _step(self) -> bool:
        if self._mode == "content":
            buffer = b"\r\n" + self._buffer
            at = buffer.find(b"\r\n.\r\n")
            if at < 0:
                return False
            content, self._buffer = buffer[: at + 2], buffer[at + 5 :]
            self._end(content.replace(b"\r\n..", b"\r\n.")[2:])
        elif self._mode == "chunk":
            if len(self._buffer) < self._left:
                return False
            content, self._buffer = self._buffer[: self._left], self._buffer[self._left :]
            self._end(content)
        else:
            line, end, rest = self._buffer.partition(b"\r\n")
            if not end:
                return False
            self._buffer = rest
            self._line(line.decode("utf-8", "replace"))
        return True

    def _line(self, line: str) -> None:
        self.lines.append(f"C: {line}")
        if self._mode == "login":
            self._mode = "command"
            return self._auth()
        verb, _, argument = line.partition(" ")
        verb = verb.upper()
        if self._owed and verb != "QUIT" and "PIPELINING" not in self.offered:
            self._wrong(f"{line} while a reply is owed, without PIPELINING")
        if verb in ("AUTH", "MAIL", "RCPT", "DATA", "BDAT"):
            self._is_safe(verb)
        method = getattr(self, f"_{verb.lower()}", None)
        if method is None:
            self._say("QUIT" if verb == "QUIT" else "other")
        else:
            method(argument)
        return None

    def _is_safe(self, verb: str) -> None:
        use = self.peer.tls
        if self.wire.secure:
            return
        if use in ("require", "verify", "implicit"):
            self._wrong(f"{verb} in the clear, where TLS is demanded ({use})")
        if verb == "AUTH" and use != "never" and not self.peer.private:
            self._wrong("AUTH in the clear")

    def _limit(self, name: str) -> int:
        """What its LIMITS say (RFC 9422), many if nothing."""
        for each in self.offered:
            if found := re.search(rf"{name}=(\d+)", each):
                return int(found[1])
        return 1 << 30

    def _wrong(self, what: str) -> None:
        self.wrongs.append(what)

    def _ehlo(self, argument: str = "") -> None:
        if self.asked:
            self.asked[-1].is_open = False
        offered = list(self.peer.extensions)
        if self.wire.secure and "STARTTLS" in offered:
            offered.remove("STARTTLS")
        said = self._say("hello", rows=[self.peer.host, *offered])
        if said.code == 250:
            self.offered = tuple(offered)

    _lhlo = _ehlo

    def _helo(self, argument: str) -> None:
        self._say("hello")

    def _starttls(self, argument: str) -> None:
        said = self._say("STARTTLS")
        self.wire.answers_tls = said.code < 300

    def _auth(self, argument: str = "") -> None:
        said = self._say("AUTH")
        if said.code == 334:
            self._mode = "login"

    def _mail(self, argument: str) -> None:
        if self._now is not None:
            self._wrong("MAIL within a transaction")
        self._check_parameters(argument)
        if len(self.asked) >= self._limit("MAILMAX"):
            self._wrong("more transactions than MAILMAX")
        self.asked.append(Asked(self))
        said = self.asked[-1].mail = self._say("MAIL")
        self.asked[-1].is_open = said.code < 400

    def _rcpt(self, argument: str) -> None:
        if not self.asked:
            return self._wrong("RCPT before MAIL")
        asked = self.asked[-1]
        self._check_parameters(argument)
        recipient = argument[argument.index("<") + 1 : argument.index(">")].lower()
        if recipient in asked.rcpts:
            self._wrong(f"{recipient} twice in a transaction")
        if len(asked.rcpts) >= self._limit("RCPTMAX"):
            self._wrong("more recipients than RCPTMAX")
        asked.rcpts[recipient] = None  # known, should the wire break now
        asked.rcpts[recipient] = self._say("RCPT", bad=not asked.is_open)
        return None

    def _check_parameters(self, argument: str) -> None:
        for word in argument.partition(">")[2].split():
            extension = _PARAMETERS.get(word.partition("=")[0].upper())
            offered = {each.split()[0] for each in self.offered}
            if extension is None or extension not in offered:
                self._wrong(f"{word} without its extension")

    def _data(self, argument: str) -> None:
        asked = self._now
        said = self._say("DATA", bad=asked is None)
        if asked is not None:
            asked.data = said
        if said.code == 354:
            if asked is not None:
                asked.began = True
            self._mode = "content"

    def _bdat(self, argument: str) -> None:
        if "CHUNKING" not in self.offered:
            self._wrong("BDAT without CHUNKING")
        if self.asked:
            self.asked[-1].began = True
        self._mode, self._left = "chunk", int(argument.split()[0])

    def _end(self, content: bytes) -> None:
        """The whole content is here."""
        self._mode = "command"
        asked = self._now
        accepted = asked.accepted if asked is not None else []
        self.lines.append(f"C: ({len(content)} octets)")
        if asked is not None:
            asked.content, asked.is_open = content, False
        if asked is not None and self.peer.lmtp:
            for recipient in accepted:
                asked.finals[recipient] = self._say("final")
            return
        said = self._say("final", bad=not accepted)
        if asked is not None:
            asked.finals = dict.fromkeys(accepted, said)

    def _rset(self, argument: str) -> None:
        if self.asked:
            self.asked[-1].is_open = False
        self._say("RSET")

    def _say(self, step: str, bad: bool = False, rows: list[str] | None = None) -> Said:
        """Reply to this step: as it should, or in one of many other ways."""
        random, wild = self.random, self.random.random() < self.peer.wild
        code = 503 if bad else _GOOD[step]
        if wild and random.random() < 0.6:
            codes = (250, 251, 354, 334, 450, 451, 452, 452, 500, 502, 550, 550, 552, 554, 421)
            code = random.choice([each for each in codes if each >= 400 or not bad])
        good = code < 400 and code == _GOOD[step]
        sound = code >= 400 or (code == 354 if step == "DATA" else code < 300)
        sound = sound or (step == "AUTH" and code == 334)
        status = ""
        if code >= 400 or (code < 300 and step not in ("greeting", "hello")):
            status = random.choice(("", f"{code // 100}.5.3", f"{code // 100}.1.1", "2.0.0"))
        said = self.wire.world.said(code, status, sound, self.peer.host)
        text = f"{status} {said.token}" if status else said.token
        lines = [*rows[:1], *rows[1:]] if rows and good else []
        lines = lines or [text] * (wild and random.randrange(3))
        octets = b"".join(b"%d-%s\r\n" % (code, each.encode()) for each in lines)
        octets += b"%d %s\r\n" % (code, text.encode())
        self.lines.append(f"S: {octets.decode()!r} after {self.wire.world.seconds():.0f} s")
        self._send(said, octets, wild)
        return said

    def _send(self, said: Said, octets: bytes, wild: bool) -> None:
        random, wire = self.random, self.wire
        how = random.randrange(12) if wild else 99
        if how == 0:
            self.lines.append("S: (hangs)")
            wire.stopped = True
        elif how == 1 and not wire.breaks:
            whole, octets = octets, octets[: random.randrange(len(octets) + 1)]
            wire.breaks, wire.is_cut = True, octets != whole
            self.lines.append(f"S: (breaks off after {len(octets)} octets)")
        elif how == 2:
            octets = random.choice(_ODD)
            said.sound = False
            self.lines.append(f"S: (no: {octets!r})")
        elif how == 3:
            octets += octets
            self.confused = True
            self.lines.append("S: (twice)")
        delay = random.choice((0.1, 5.0, 130.0, 400.0, 700.0)) if how in (4, 5) else 0.0
        self._owed += 1
        wire.send(said, octets, delay, trickle=how in (5, 6), done=self._sent)

    def _sent(self) -> None:
        self._owed -= 1


class WildWire(StringTransport):
    """The client's end of a connection to a WildPeer.

    `secure` while TLS is spoken, `answers_tls` if the server expects a handshake. `ears` of the
    client are open until it gives the connection up.
    """

    def __init__(self, world: WildWorld, protocol: Any, peer: WildPeer) -> None:
        super().__init__()
        self.world, self.protocol, self.peer = world, protocol, peer
        random = peer.random
        self.is_open = True
        self.secure, self.answers_tls = False, peer.tls == "implicit"
        self.stopped = self.breaks = self.is_cut = self._is_last = self._deaf = False
        self._sticky = random.random() < peer.wild / 2
        self._slow = random.random() < 0.2
        self._ends_after = random.randrange(2000) if random.random() < peer.wild else 1 << 40
        self._line: list[tuple[Said | None, bytes, float, Any]] = []
        self._sending = False
        self.conversation = Conversation(peer, self)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing to do."""

    def write(self, data: bytes) -> None:
        if self.is_open and not self.disconnecting:
            self.world.later(self._to_peer, data)
            if self._slow and self.producer is not None:
                self.producer.pauseProducing()
                self.world.callLater(self.peer.random.choice((0.1, 100.0, 300.0)), self._go_on)

    def _go_on(self) -> None:
        if self.producer is not None and self.is_open:
            self.producer.resumeProducing()

    def _to_peer(self, data: bytes) -> None:
        if not self.is_open:
            return
        took = data[: max(0, self._ends_after)]
        self._ends_after -= len(data)
        self.conversation.receive(took)
        if self._ends_after < 0:
            self.conversation.lines.append("S: (hangs up amid what comes)")
            if self.conversation.asked:
                self.conversation.asked[-1].began = True
            self.world.later(self._lost, ConnectionLost())

    def send(self, said: Said, octets: bytes, delay: float, trickle: bool, done: Any) -> None:
        """One reply after the other."""
        if self._is_last:
            return
        self._is_last = self.breaks
        pieces = [octets[at : at + 1] for at in range(len(octets))] if trickle else [octets]
        for piece in pieces[:-1]:
            self._line.append((None, piece, delay, None))
            delay = 0.0 if len(octets) > 100 or not trickle else delay and 5.0
        self._line.append((said, pieces[-1], delay, done))
        if not self._sending:
            self._sending = True
            self.world.later(self._next)

    def _next(self) -> None:
        if not self._line or (self.stopped and len(self._line) == 1) or not self.is_open:
            self._sending = False
            return
        delay = self._line[0][2]
        if delay:
            self.world.callLater(delay, self._give)
        else:
            self._give()

    def _give(self) -> None:
        if not self.is_open:
            return
        said, octets, _, done = self._line.pop(0)
        is_last = self._is_last and not self._line
        if done is not None:
            done()
        hears = not self._deaf and self.client.ended is None and not self.disconnecting
        if said is not None and hears:
            said.heard = not (is_last and self.is_cut)
            # 421 and 221 end it, and nothing is read after nonsense.
            self._deaf = not said.sound or said.code in (421, 221)
        self.protocol.dataReceived(octets)
        if is_last:
            self.world.later(self._lost, ConnectionLost())
        self.world.later(self._next)

    @property
    def client(self) -> Any:
        """The connection behind the endpoint's wrapper."""
        return self.protocol._wrappedProtocol

    def startTLS(self, options: Any) -> None:
        """A handshake, which may fail or never end."""
        self.conversation.lines.append("C: (TLS)")
        how = self.peer.random.random()
        if how < self.peer.wild / 2 or not self.answers_tls:
            self.world.later(self._lost, ConnectionLost())
        elif how > self.peer.wild:
            self.world.later(self._handshaken)

    def _handshaken(self) -> None:
        if self.is_open and not self.disconnecting:
            self.secure = True
            self.conversation.secured()
            self.protocol.handshakeCompleted()

    def getHandle(self) -> Any:
        """What is asked about the handshake."""
        return self

    def get_servername(self) -> bytes:
        return b""

    def get_protocol_version_name(self) -> str:
        return "TLSv1.3"

    def get_protocol_version(self) -> int:
        return 0x0304

    def export_keying_material(self, label: bytes, length: int, context: bytes) -> bytes:
        return bytes(length)

    def get_cipher_name(self) -> str:
        return "NULL"

    def get_peer_certificate(self) -> None:
        return None

    def get_peer_cert_chain(self) -> None:
        return None

    def loseConnection(self) -> None:
        self.disconnecting = True
        if not self._sticky:
            self.world.later(self._lost, ConnectionDone())

    def abortConnection(self) -> None:
        self.disconnecting = True
        self.world.later(self._lost, ConnectionLost())

    def _lost(self, why: Exception) -> None:
        if self.is_open:
            self.is_open = False
            self.protocol.connectionLost(Failure(why))


class WildWorld(World):
    """Addresses with a WildPeer, or a word for how dialling fails: "refused", "silent"."""

    def __init__(self) -> None:
        super().__init__()
        self.wild: dict[str, WildPeer | str] = {}
        self.wires: list[WildWire] = []
        self.all_said: dict[str, Said] = {}

    def said(self, code: int, status: str, sound: bool, host: str) -> Said:
        """A new reply with a token of its own."""
        said = Said(f"t{len(self.all_said)}t", code, status, sound, host)
        self.all_said[said.token] = said
        return said

    def tokens(self, text: str) -> list[Said]:
        """The replies that these words are of."""
        return [self.all_said[each] for each in dict.fromkeys(re.findall(r"t\d+t", text))]

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> Any:
        # World's own would look among its scripted peers.
        connector = super(World, self).connectTCP(host, port, factory, timeout, bindAddress)
        self.dialled.append(host)
        peer = self.wild[host]
        if isinstance(peer, WildPeer):
            self.later(self._connect, connector, factory, peer)
        else:
            why = ConnectionRefusedError() if peer == "refused" else ConnectTimeout()
            delay = 0.0 if peer == "refused" else timeout
            self.callLater(delay, self._fail, connector, factory, why)
        return connector

    def _connect(self, connector: Any, factory: Any, peer: WildPeer) -> None:
        if not connector.stoppedConnecting:
            protocol = factory.buildProtocol(None)
            wire = WildWire(self, protocol, peer)
            self.wires.append(wire)
            protocol.makeConnection(wire)

    def _fail(self, connector: Any, factory: Any, why: Exception) -> None:
        if not connector.stoppedConnecting:
            factory.clientConnectionFailed(connector, Failure(why))

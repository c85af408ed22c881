"""The border with Twisted: octets in, replies out, and the phases of a connection.

Everything a client sends is answered in order: while one answer is being waited for, what
comes next stays in the dialogue's buffer, and past a bound the transport is paused (`flow`).
What follows what is a table (`phase`); what time allows, `patience` knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from OpenSSL import SSL
from twisted.internet.address import IPv4Address
from twisted.internet.address import IPv6Address as TwistedIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..eventual import at_once, is_later
from ..message import Client, Tls, new_id
from ..smtp.order import State
from ..smtp.reply import SHUTTING_DOWN, TIMED_OUT, Reply
from ..wire.handshake import TlsChannel, tls_facts
from ..wire.peer import Peer, peer_of
from ..wire.server_tls import ServerTls
from .flow import READ_AHEAD, Flow
from .patience import Patience
from .phase import (
    ABORT,
    ANSWER,
    ANSWERING,
    ARRIVED,
    CLOSE,
    ENDED,
    FINISHING,
    GONE,
    GREET,
    GREETED,
    GREETING,
    HANDSHAKES,
    HOLD,
    HOLDING,
    LOSE,
    OPEN,
    PHASES,
    SECURE,
    SECURED,
    UNGREETED,
    WAIT,
    WRAP,
    WRAPPING,
    Step,
)
from .session import Answer, Session

if TYPE_CHECKING:
    from .listener import Reception

_CLOSED, _SECURING = State.CLOSED, State.SECURING  # quicker than by its class, per reply

SPOKE_TOO_EARLY = Reply(554, "You spoke before the greeting", "5.5.0")


@implementer(IHandshakeListener, IPushProducer)
class Connection(Protocol):
    """One client's connection.

    It is its transport's producer, of replies: when the client does not read them, it is
    paused and answers nothing more. `phase` is to be read only.
    """

    _log = Logger()

    session: Session | None = None
    phase = ARRIVED
    _greet_later: IDelayedCall | None = None
    _tls: ServerTls | None = None

    def __init__(self, reception: Reception, peer: Peer | None = None) -> None:
        self._reception = reception
        self._peer = peer
        self._patience = Patience(reception.limits, reception.seconds())

    def _move(self, step: Step) -> None:
        self.phase = PHASES[self.phase][step]

    def connectionMade(self) -> None:
        """Twisted: somebody is there."""
        transport: Any = self.transport
        reception = self._reception
        peer = self._peer or peer_of(transport)
        client = Client(
            peer.address,
            peer.port,
            reception.listener.name,
            peer.local_address,
            peer.local_port,
            new_id(reception.shared.now()),
            tls=_tls_of(peer),
        )
        # A unix socket has no such thing.
        if isinstance(transport.getPeer(), IPv4Address | TwistedIPv6Address):
            transport.setTcpNoDelay(True)
        self._flow = Flow(transport, reception.limits.unread_replies)
        reception.enter(self)
        refusal = reception.refusal_of(self, client)
        if refusal is not None:
            # Without a word if it expects TLS.
            self._close(None if reception.listener.tls == "implicit" else refusal)
            return
        self.session = Session(
            reception.shared,
            client,
            reception.may_speak_for_others(client),
            lambda other: reception.refusal_of(self, other),
        )
        transport.registerProducer(self, True)
        if reception.listener.tls == "implicit":
            self._move(WRAP)
            self._start_tls()
        else:
            self._prepare_greeting()

    # The greeting.

    def _prepare_greeting(self) -> None:
        delay = self._reception.listener.greet_delay
        if delay > 0:
            self._move(HOLD)
            self._greet_later = self._reception.reactor.callLater(delay, self._greet)
        else:
            self._greet()

    def _greet(self) -> None:
        self._greet_later = None
        assert self.session is not None
        self._move(GREET)
        greeting: Reply | Deferred[Reply] = at_once(self.session.open())
        if is_later(greeting):
            greeting.addCallback(self._greeted).addErrback(self._broken)
        else:
            self._greeted(greeting)

    def _greeted(self, greeting: Reply) -> None:
        if self.phase is not GREETING:
            return  # it is gone
        self._patience.since = self._reception.seconds()
        if not greeting.positive:
            self._close(greeting)
            return
        self._write(greeting.to_bytes())
        self._move(GREETED)
        self._proceed()

    def _greet_never(self) -> None:
        if self._greet_later is not None:
            self._greet_later.cancel()
            self._greet_later = None

    # Octets in, replies out.

    def dataReceived(self, data: bytes) -> None:
        """Twisted: octets from the client."""
        session, phase = self.session, self.phase
        if session is None or (phase is not OPEN and not self._is_heard(session)):
            return
        dialogue, flow = session.dialogue, self._flow
        if dialogue.in_content:
            self._patience.since = self._reception.seconds()
            self._patience.brought += len(data)
            if len(data) == READ_AHEAD:
                flow.read_much()
        dialogue.receive_data(data)
        if phase is OPEN and flow.unread_since is None:
            self._pump(session)
        else:
            flow.hold(dialogue.buffered)

    def _is_heard(self, session: Session) -> bool:
        """False if what comes now counts for nothing."""
        if self.phase in UNGREETED and self._reception.listener.greet_delay > 0:
            session.tell("spoke before the greeting")
            self._close(SPOKE_TOO_EARLY)
        return self.phase not in ENDED

    def _proceed(self) -> None:
        """Go on with what the client has sent meanwhile."""
        session = self.session
        if self.phase is OPEN and session is not None and self._flow.unread_since is None:
            self._pump(session)

    def _pump(self, session: Session) -> None:
        """Answer all there is, and write the answers together."""
        dialogue = session.dialogue
        replies: list[bytes] = []
        step: Step | None = None
        while step is None:
            if self._reception.stopping and not dialogue.in_content:
                replies.append(SHUTTING_DOWN.to_bytes())
                step = CLOSE
                break
            event = dialogue.next_event()
            if event is None:
                break
            answer: Any = at_once(session.answer(event))
            if is_later(answer):
                self._wait_for(answer, replies, dialogue.buffered)
                return
            if answer is not None:
                step = self._said(session, answer, replies)
        self._write(b"".join(replies))
        self._turn(session, step)

    def _wait_for(self, answer: Any, replies: list[bytes], buffered: int) -> None:
        """Say what is answered already; nothing more is answered before this answer is here."""
        self._move(WAIT)
        if self._flow.reads_much:
            self._flow.read_little()
        self._write(b"".join(replies))
        answer.addCallback(self._answered).addErrback(self._broken)
        self._flow.hold(buffered)

    def _answered(self, answer: Answer) -> None:
        """An answer that was waited for is here."""
        self._move(ANSWER)
        self._patience.since = self._reception.seconds()
        session = self.session
        if self.phase is GONE or session is None:
            self._end_session()
            return
        if answer is not None:
            replies: list[bytes] = []
            step = self._said(session, answer, replies)
            self._write(b"".join(replies))
            if step is not None:
                self._turn(session, step)
                return
        self._proceed()

    def _said(self, session: Session, answer: Answer, replies: list[bytes]) -> Step | None:
        """Add the answer to the replies; the step to take if none may follow them."""
        assert answer is not None
        dialogue = session.dialogue
        replies.append(
            dialogue.send(*answer) if isinstance(answer, tuple) else dialogue.send(answer)
        )
        self._patience.since = self._reception.seconds()
        if self._flow.reads_much:
            self._flow.read_little()
        # That TLS begins only the state knows: not every 220 says so.
        state = dialogue.state
        return CLOSE if state is _CLOSED else SECURE if state is _SECURING else None

    def _turn(self, session: Session, step: Step | None) -> None:
        """After writing: close, start TLS, or listen again."""
        if step is CLOSE:
            self._close()
        elif step is SECURE:
            session.dialogue.tls_started()
            session.forget()
            self._flow.let_go()
            self._move(SECURE)
            self._start_tls()
        elif self._flow.held:
            self._flow.let_go(session.dialogue.buffered)

    def _write(self, octets: bytes) -> None:
        if octets and self.transport is not None:
            self.transport.write(octets)

    def pauseProducing(self) -> None:
        """Twisted: the client leaves too many replies unread; no command is answered now."""
        if self._flow.unread_since is None:
            self._flow.unread_since = self._reception.seconds()

    def resumeProducing(self) -> None:
        """Twisted: the client has read its replies."""
        if self._flow.unread_since is not None:
            self._flow.unread_since = None
            self._patience.since = self._reception.seconds()
            self._proceed()

    def stopProducing(self) -> None:
        """Twisted: the connection is lost; connectionLost says so too."""

    # TLS.

    def _start_tls(self) -> None:
        options, transport = self._reception.options, self.transport
        assert options is not None
        self._patience.since = self._reception.seconds()
        self._tls = ServerTls(options, self._secured)
        transport.startTLS(self._tls)  # type: ignore[union-attr]

    def handshakeCompleted(self) -> None:
        """Twisted: all that follows is encrypted."""
        if self._tls is not None:
            self._tls.handshakeCompleted()

    def _secured(self, connection: SSL.Connection) -> None:
        self._tls = None
        session, phase = self.session, self.phase
        if session is None or phase not in HANDSHAKES:
            return
        self._patience.since = self._reception.seconds()
        session.secured(tls_facts(connection), TlsChannel(connection, is_server=True))
        if phase is WRAPPING:
            self._prepare_greeting()
        else:
            self._move(SECURED)

    # The end.

    def look_at_clock(self, now: float) -> None:
        """End it if the client has taken longer than its listener's limits allow."""
        step = self._patience.spent(now, self.phase, self._flow.unread_since, self.session)
        if step is ABORT:
            self._abort()
        elif step is CLOSE and self.session is not None:
            self.session.tell(str(TIMED_OUT))
            self._close(TIMED_OUT)

    def stop(self) -> None:
        """Let the client go at the next command's end; now if it has none running."""
        session, phase = self.session, self.phase
        if session is None or phase in ENDED:
            return
        if phase in HANDSHAKES:
            self._abort()
        elif phase is HOLDING or (phase is OPEN and not session.dialogue.in_content):
            self._close(SHUTTING_DOWN)

    def drop(self) -> None:
        """Let the client go without a word."""
        self._abort()

    def _close(self, last_word: Reply | None = None) -> None:
        """Say the last word and close, once the client has read it."""
        if last_word is not None:
            self._write(last_word.to_bytes())
        self._move(CLOSE)
        self._patience.since = self._reception.seconds()
        self._greet_never()
        self._end_session()
        self._flow.let_go()
        transport: Any = self.transport
        transport.unregisterProducer()
        transport.loseConnection()

    def _abort(self) -> None:
        self._move(ABORT)
        self._greet_never()
        transport: Any = self.transport
        if transport is not None and self.connected:
            transport.abortConnection()

    def _broken(self, failure: Failure) -> None:
        self._log.failure("a session broke off", failure=failure)
        if self.phase in (ANSWERING, FINISHING):
            self._move(ANSWER)
        self._end_session()
        self._abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Twisted: the client is gone. What is being answered is finished, unheard."""
        self.connected = 0
        self._move(LOSE)
        self._tls = None
        self._greet_never()
        if self.session is not None:
            self.session.hang_up()
        if self.phase is GONE:
            self._end_session()
        self._reception.leave(self)

    def _end_session(self) -> None:
        session, self.session = self.session, None
        if session is not None:
            session.close()


def _tls_of(peer: Peer) -> Tls | None:
    """The TLS that a proxy ended for this client."""
    facts = peer.facts
    if "tls" not in facts:
        return None
    return Tls(
        facts.get("tls_version", "TLS"),
        facts.get("tls_cipher", "unknown"),
        facts.get("authority", ""),
    )

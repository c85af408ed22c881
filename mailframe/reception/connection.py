"""The border with Twisted: octets in, replies out, and the phases of a connection.

Everything that a client sends is answered in order. While an answer is being waited for, what comes
next stays in the dialogue's buffer; beyond a limit the transport is paused (`flow`). `phase` is the
table of phases; `patience` has the time limits.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet.address import IPv4Address
from twisted.internet.address import IPv6Address as TwistedIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IPushProducer,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..eventual import TURN, at_once, is_later, pause
from ..message.vocabulary import Verdict
from ..smtp.order import State
from ..smtp.reply import SHUTTING_DOWN, TIMED_OUT, Reply
from ..wire.handshake import TlsChannel, tls_facts
from ..wire.peer import Peer, peer_of
from ..wire.server_tls import ServerTls
from .entrance import SmtpEntrance
from .flow import READ_AHEAD, Flow
from .introduction import client_of
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

_CLOSED, _SECURING = State.CLOSED, State.SECURING  # quicker than by its class, per reply

SPOKE_TOO_EARLY = Reply(554, "You spoke before the greeting", "5.5.0")


@implementer(IHalfCloseableProtocol, IHandshakeListener, IPushProducer)
class Connection(Protocol):
    """One client's connection.

    It is the producer of its transport, for replies: if the client does not read them, it is paused
    and answers no more commands. `phase` is read-only for others.
    """

    _log = Logger()

    session: Session | None = None
    phase = ARRIVED
    _greet_later: IDelayedCall | None = None
    _tls: ServerTls | None = None

    def __init__(self, reception: SmtpEntrance, peer: Peer | None = None) -> None:
        self._reception = reception
        self._peer = peer
        self._patience = Patience(reception.limits, reception.seconds())

    def _move(self, step: Step) -> None:
        self.phase = PHASES[self.phase][step]

    def connectionMade(self) -> None:
        """Called by Twisted when a client has connected."""
        transport: Any = self.transport
        reception = self._reception
        peer = self._peer or peer_of(transport)
        client = client_of(peer, reception.listener.name, reception.shared.now())
        # A unix socket does not have this method.
        if isinstance(transport.getPeer(), IPv4Address | TwistedIPv6Address):
            transport.setTcpNoDelay(True)
        self._flow = Flow(transport, reception.limits.unread_replies)
        reception.enter(self)
        refusal = reception.refusal_of(self, client)
        if refusal is not None:
            # Without a reply, if the client expects TLS.
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
            return  # the client has gone
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
        """Called by Twisted with octets from the client."""
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
        """False if what the client sends now is ignored."""
        if self.phase in UNGREETED and self._reception.listener.greet_delay > 0:
            session.tell(Verdict.SPOKE_TOO_EARLY)
            self._close(SPOKE_TOO_EARLY)
        return self.phase not in ENDED

    def _proceed(self) -> None:
        """Go on with what the client has sent meanwhile."""
        session = self.session
        if self.phase is OPEN and session is not None and self._flow.unread_since is None:
            self._pump(session)

    def _pump(self, session: Session) -> None:
        """Answer everything that can be answered now, and write the replies together."""
        dialogue = session.dialogue
        replies: list[bytes] = []
        step: Step | None = None
        patience = self._patience
        ends = self._reception.seconds() + TURN
        while step is None:
            if self._reception.stopping and not dialogue.in_content:
                replies.append(SHUTTING_DOWN.to_bytes())
                step = CLOSE
                break
            event = dialogue.next_event()
            if event is None:
                step = CLOSE if self._flow.ended else None
                break
            answer: Any = at_once(session.answer(event))
            if is_later(answer):
                self._wait_for(answer, replies, dialogue.buffered)
                return
            if answer is not None:
                step = self._said(session, answer, replies)
                if step is None and patience.since > ends:
                    # Other clients have their turn between commands that were sent together.
                    self._wait_for(pause(self._reception.reactor), replies, dialogue.buffered)
                    return
        self._write(b"".join(replies))
        self._turn(session, step)

    def _wait_for(self, answer: Any, replies: list[bytes], buffered: int) -> None:
        """Write the replies so far; nothing more is answered before this answer has come."""
        self._move(WAIT)
        if self._flow.reads_much:
            self._flow.read_little()
        self._write(b"".join(replies))
        answer.addCallback(self._answered).addErrback(self._broken)
        self._flow.hold(buffered)

    def _answered(self, answer: Answer) -> None:
        """An answer that was waited for has come."""
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
        """Add the answer to the replies; returns the step to take if no reply may follow it."""
        assert answer is not None
        dialogue = session.dialogue
        replies.append(
            dialogue.send(*answer) if isinstance(answer, tuple) else dialogue.send(answer)
        )
        self._patience.since = self._reception.seconds()
        if self._flow.reads_much:
            self._flow.read_little()
        # Only the state tells that TLS begins: not every 220 means that.
        state = dialogue.state
        return CLOSE if state is _CLOSED else SECURE if state is _SECURING else None

    def _turn(self, session: Session, step: Step | None) -> None:
        """After writing: close, start TLS, or listen again."""
        if step is CLOSE or (step is SECURE and self._flow.ended):
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
        """Called by Twisted if the client leaves too many replies unread: pause."""
        if self._flow.unread_since is None:
            self._flow.unread_since = self._reception.seconds()

    def resumeProducing(self) -> None:
        """Called by Twisted when the client has read its replies."""
        if self._flow.unread_since is not None:
            self._flow.unread_since = None
            self._patience.since = self._reception.seconds()
            self._proceed()

    def stopProducing(self) -> None:
        """Called by Twisted when the connection is lost; connectionLost handles that."""

    def readConnectionLost(self) -> None:
        """Twisted: the client sends nothing more, but may still read. Answer all it has sent."""
        self._flow.ended = True
        if self.phase in HANDSHAKES:
            self._abort()
        elif self.phase is HOLDING:
            self._close()
        else:
            self._proceed()

    def writeConnectionLost(self) -> None:
        """Twisted: we closed only our side, which we never do."""

    # TLS.

    def _start_tls(self) -> None:
        options, transport = self._reception.options, self.transport
        self._patience.since = self._reception.seconds()
        self._tls = ServerTls(options, self._secured)  # type: ignore[arg-type]
        transport.startTLS(self._tls)  # type: ignore[union-attr]

    def handshakeCompleted(self) -> None:
        """Called by Twisted when TLS has begun."""
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
        """End the connection if the client has taken longer than the listener's limits allow."""
        step = self._patience.spent(now, self.phase, self._flow.unread_since, self.session)
        if step is ABORT:
            self._abort()
        elif step is CLOSE and self.session is not None:
            self.session.tell(TIMED_OUT)
            self._close(TIMED_OUT)

    def stop(self) -> None:
        """Close the connection when the current command is answered; at once if there is none."""
        session, phase = self.session, self.phase
        if session is None or phase in ENDED:
            return
        if phase in HANDSHAKES:
            self._abort()
        elif phase is HOLDING or (phase is OPEN and not session.dialogue.in_content):
            self._close(SHUTTING_DOWN)

    def drop(self) -> None:
        """Close the connection without a reply."""
        self._abort()

    def _close(self, last_word: Reply | None = None) -> None:
        """Write the last reply and close the connection once the client has read it."""
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
        """Called by Twisted when the client has gone.

        A command under way is finished without a reply.
        """
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

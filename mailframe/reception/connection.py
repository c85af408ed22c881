"""The border with Twisted: octets in, replies out, pauses, and what time allows.

Everything a client sends is answered in order: while one answer is being waited for, what
comes next stays in the dialogue's buffer, and past a bound the transport is paused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from OpenSSL import SSL
from twisted.internet.address import IPv4Address
from twisted.internet.address import IPv6Address as TwistedIPv6Address
from twisted.internet.interfaces import (
    IDelayedCall,
    IOpenSSLServerConnectionCreator,
    IPushProducer,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..eventual import at_once, is_later
from ..message import Client, new_id
from ..smtp.reply import SHUTTING_DOWN, TIMED_OUT, Reply
from ..wire.handshake import TlsChannel, tls_facts
from ..wire.transport import MOST_READ, ISocketTls, address_of
from .session import Answer, Session

if TYPE_CHECKING:
    from .listener import Reception

READ_AHEAD = 1 << 16  # octets that may wait unread in the dialogue before the client must wait
UNREAD_PATIENCE = 60.0  # seconds for a client to begin to read the replies it left
CLOSE_PATIENCE = 15.0  # seconds for a client to take the last reply and close

SPOKE_TOO_EARLY = Reply(554, "You spoke before the greeting", "5.5.0")


@implementer(ISocketTls, IPushProducer, IOpenSSLServerConnectionCreator)
class Connection(Protocol):
    """One client's connection.

    It is its transport's producer, of replies: when the client does not read them, it is
    paused and answers nothing more. It makes its own TLS connection, to know the cipher.
    """

    _log = Logger()

    session: Session | None = None
    _busy = True  # an answer is being waited for; at first the greeting
    _greeted = False
    _closing = False
    _handshaking = False
    _reading_paused = False
    _reads_much = False  # as the transport is told
    _unread_since: float | None = None
    _greet_later: IDelayedCall | None = None
    _tls: SSL.Connection | None = None

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._began = self._since = reception.seconds()

    def connectionMade(self) -> None:
        """Twisted: somebody is there."""
        transport: Any = self.transport
        peer, host = transport.getPeer(), transport.getHost()
        client = Client(
            address_of(peer),
            getattr(peer, "port", 0),
            self._reception.listener.name,
            address_of(host),
            getattr(host, "port", 0),
            new_id(self._reception.now()),
        )
        if isinstance(peer, IPv4Address | TwistedIPv6Address):
            transport.setTcpNoDelay(True)
        # The transport pauses its producer when it holds more octets than this.
        transport.bufferSize = self._reception.limits.unread_replies
        refusal = self._reception.admit(self, client)
        if refusal is not None:
            self._refuse(refusal)
            return
        self.session = Session(self._reception.shared, client)
        transport.registerProducer(self, True)
        if self._reception.listener.tls == "implicit":
            self._start_tls()
        else:
            self._prepare_greeting()

    def _refuse(self, refusal: Reply) -> None:
        """Refuse a client that is not let in; without a word where it expects TLS."""
        if self._reception.listener.tls == "implicit":
            self._close()
        else:
            self._close(refusal)

    def _prepare_greeting(self) -> None:
        delay = self._reception.listener.greet_delay
        if delay > 0:
            self._greet_later = self._reception.reactor.callLater(delay, self._greet)
        else:
            self._greet()

    def _greet(self) -> None:
        self._greet_later = None
        assert self.session is not None
        self._await(self.session.open(), self._opened)

    def _opened(self, reply: Reply) -> None:
        if not reply.positive:
            self._close(reply)
            return
        self._write(reply.to_bytes())
        self._greeted = True
        self._proceed()

    def _await(self, eventual: Any, then: Any) -> None:
        """Call `then` with the value, at once or when it is there."""
        self._busy = True
        value = at_once(eventual)
        if is_later(value):
            value.addCallback(self._came, then).addErrback(self._broken)
        else:
            self._busy = False
            then(value)

    def _came(self, value: Any, then: Any) -> None:
        self._busy = False
        self._since = self._reception.seconds()
        if self._closing or not self.connected:
            self._end_session()
        else:
            then(value)

    def _broken(self, failure: Failure) -> None:
        self._log.failure("a session broke off", failure=failure)
        self._busy = False
        self._end_session()
        self._abort()

    def dataReceived(self, data: bytes) -> None:
        """Twisted: octets from the client."""
        session = self.session
        if self._closing or session is None:
            return
        if not self._greeted and self._reception.listener.greet_delay > 0:
            session.tell("spoke before the greeting")
            self._close(SPOKE_TOO_EARLY)
            return
        dialogue = session.dialogue
        if dialogue.in_content:
            self._since = self._reception.seconds()
            if len(data) == READ_AHEAD:
                transport: Any = self.transport
                self._reads_much, transport.most_read = True, MOST_READ
        dialogue.receive_data(data)
        if self._busy or self._unread_since is not None:
            self._read_no_further()
        else:
            self._pump(session)

    def _read_no_further(self) -> None:
        """Let the client wait where it sends more than may lie here."""
        assert self.session is not None
        transport: Any = self.transport
        if self.session.dialogue.buffered > READ_AHEAD and not self._reading_paused:
            self._reading_paused = True
            transport.pauseProducing()

    def _proceed(self) -> None:
        """Go on with what the client has sent meanwhile."""
        session = self.session
        if session is None or self._busy or self._closing or self._handshaking:
            return
        if self._unread_since is None:
            self._pump(session)

    def _pump(self, session: Session) -> None:
        """Answer all there is, and write the answers together."""
        dialogue = session.dialogue
        replies: list[bytes] = []
        while True:
            if self._reception.stopping and not dialogue.in_content:
                replies.append(SHUTTING_DOWN.to_bytes())
                self._closing = True
                break
            event = dialogue.next_event()
            if event is None:
                break
            answer: Any = at_once(session.answer(event))
            if is_later(answer):
                self._busy = True
                self._read_little()
                self._write(b"".join(replies))
                answer.addCallback(self._came, self._answered).addErrback(self._broken)
                self._read_no_further()
                return
            if answer is not None and self._said(session, answer, replies):
                break
        self._write(b"".join(replies))
        self._turn(session)

    def _read_little(self) -> None:
        """Only content that flows is read in large pieces: what else comes may have to lie here."""
        transport: Any = self.transport
        if self._reads_much and transport is not None:
            self._reads_much = False
            transport.most_read = READ_AHEAD

    def _said(self, session: Session, answer: Answer, replies: list[bytes]) -> bool:
        """Add the answer to the replies; True where nothing may follow on this connection."""
        assert answer is not None
        if isinstance(answer, tuple):
            replies.append(session.dialogue.send(*answer))
            code = answer[-1].code if answer else 0
        else:
            replies.append(session.dialogue.send(answer))
            code = answer.code
        self._since = self._reception.seconds()
        self._read_little()
        if code in (221, 421):
            self._closing = True
        elif session.dialogue.securing:
            self._handshaking = True
        return self._closing or self._handshaking

    def _answered(self, answer: Answer) -> None:
        """An answer that was waited for is here."""
        session = self.session
        assert session is not None
        replies: list[bytes] = []
        if answer is not None and self._said(session, answer, replies):
            self._write(b"".join(replies))
            self._turn(session)
            return
        self._write(b"".join(replies))
        self._proceed()

    def _turn(self, session: Session) -> None:
        """After writing: close, start TLS, or listen again."""
        if self._closing:
            self._close()
        elif self._handshaking:
            session.dialogue.tls_started()
            session.forget()
            self._read_again()
            self._start_tls()
        elif self._reading_paused and session.dialogue.buffered <= READ_AHEAD:
            self._read_again()

    def _read_again(self) -> None:
        transport: Any = self.transport
        if self._reading_paused and transport is not None:
            self._reading_paused = False
            transport.resumeProducing()

    def _write(self, octets: bytes) -> None:
        if octets and self.transport is not None:
            self.transport.write(octets)

    def _start_tls(self) -> None:
        self._handshaking = True
        self._since = self._reception.seconds()
        transport: Any = self.transport
        transport.startTLS(self)

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """Twisted: OpenSSL's side of the TLS layer that begins."""
        assert self._reception.options is not None
        self._tls = self._reception.options.serverConnectionForTLS(tlsProtocol)
        return self._tls

    def serverConnectionOver(self, socket: Any) -> SSL.Connection:
        """The same for a transport that leaves its socket to OpenSSL."""
        assert self._reception.options is not None
        self._tls = self._reception.options.serverConnectionOver(socket)
        return self._tls

    def handshakeCompleted(self) -> None:
        """Twisted: all that follows is encrypted."""
        tls, self._tls = self._tls, None
        session = self.session
        if tls is None or session is None or self._closing:
            return
        self._handshaking = False
        self._since = self._reception.seconds()
        session.secured(tls_facts(tls), TlsChannel(tls, is_server=True))
        if not self._greeted:
            self._prepare_greeting()

    def pauseProducing(self) -> None:
        """Twisted: the client leaves too many replies unread; no command is answered now."""
        if self._unread_since is None:
            self._unread_since = self._reception.seconds()

    def resumeProducing(self) -> None:
        """Twisted: the client has read its replies."""
        if self._unread_since is not None:
            self._unread_since = None
            self._since = self._reception.seconds()
            self._proceed()

    def stopProducing(self) -> None:
        """Twisted: the connection is lost; connectionLost says so too."""

    def look_at_clock(self, now: float) -> None:
        """End it where the client has taken longer than its listener's limits allow."""
        limits, session = self._reception.limits, self.session
        waited = now - self._since
        if self._closing:
            if waited > CLOSE_PATIENCE:
                self._abort()
        elif self._unread_since is not None:
            if now - self._unread_since > min(UNREAD_PATIENCE, limits.command_timeout):
                self._abort()
        elif self._handshaking:
            if waited > limits.tls_timeout:
                self._abort()
        elif self._busy or session is None:
            return  # it is we who take the time
        elif waited > self._patience(session) or now - self._began > limits.session_timeout:
            self._time_out(session)
        elif session.transaction is not None:  # between two chunks, too
            began = session.transaction.began
            if began is not None and now - began > limits.data_total:
                self._time_out(session)

    def _patience(self, session: Session) -> float:
        limits = self._reception.limits
        return limits.data_timeout if session.dialogue.in_content else limits.command_timeout

    def _time_out(self, session: Session) -> None:
        session.tell(str(TIMED_OUT))
        self._close(TIMED_OUT)

    def stop(self) -> None:
        """Let the client go at the next command's end; now where it has none running."""
        session = self.session
        if self._closing or session is None:
            return
        if self._handshaking:
            self._abort()
        elif self._greet_later is not None or not (self._busy or session.dialogue.in_content):
            self._close(SHUTTING_DOWN)

    def drop(self) -> None:
        """Let the client go without a word."""
        self._abort()

    def _close(self, last_word: Reply | None = None) -> None:
        """Say the last word and close, once the client has read it."""
        if last_word is not None:
            self._write(last_word.to_bytes())
        self._closing = True
        self._since = self._reception.seconds()
        self._greet_never()
        if not self._busy or not self._greeted:
            self._end_session()
        transport: Any = self.transport
        self._read_again()
        transport.unregisterProducer()
        transport.loseConnection()

    def _abort(self) -> None:
        self._closing = True
        self._greet_never()
        transport: Any = self.transport
        if transport is not None and self.connected:
            transport.abortConnection()

    def _greet_never(self) -> None:
        if self._greet_later is not None:
            self._greet_later.cancel()
            self._greet_later = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Twisted: the client is gone. What is being answered is finished, unheard."""
        self.connected = 0
        self._closing = True
        self._tls = None
        self._greet_never()
        if self.session is not None:
            self.session.hang_up()
        if not self._busy or not self._greeted:
            self._end_session()
        self._reception.leave(self)

    def _end_session(self) -> None:
        session, self.session = self.session, None
        if session is not None:
            session.close()

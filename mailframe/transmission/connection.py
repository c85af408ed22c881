"""One connection to a server, which turns Twisted's callbacks into replies to wait for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IHandshakeListener,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from ..message import Tls
from ..smtp.client import ClientDialogue, Garbled, Replied, Saying, Spelled, Unasked, spell
from ..smtp.command import Quit
from ..smtp.reply import Reply
from ..wire.handshake import TlsChannel, tls_facts
from ..wire.prompt import write_promptly

_LINGER = 5.0  # seconds in which QUIT has to be sent
_QUIT = spell(Quit())
_CLOSED = Reply(421, "Connection closed", "4.4.2")


class Ended(Exception):
    """The connection cannot be used any more; `reply` says why, in words for the sender.

    `spoken` is True if they are the server's own words (an unasked reply).
    """

    def __init__(self, reply: Reply, spoken: bool = False) -> None:
        super().__init__(reply)
        self.reply = reply
        self.spoken = spoken


class HandshakeFailed(Ended):
    """The TLS handshake failed, or the certificate is not valid for this host."""


@implementer(IHandshakeListener, IPushProducer)
class ServerConnection(Protocol):
    """A connection to a server, which is sent one group of commands at a time.

    `name` is the server's name in outcomes. `tls` and `channel` are set once TLS has begun.
    `tls_words` describes TLS for the trace: "TLSv1.3 TLS_AES_256_GCM_SHA384, verified".
    `transactions` counts those that began here. `on_end` is called once, when the connection
    cannot be used any more.
    """

    def __init__(self, dialogue: ClientDialogue, name: str, reactor: IReactorTime) -> None:
        self.dialogue = dialogue
        self.name = name
        self.tls: Tls | None = None
        self.channel: TlsChannel | None = None
        self.tls_words = "none"
        self.transactions = 0
        self.ended: Ended | None = None
        self.closed: Deferred[None] = Deferred()
        self.on_end: Callable[[ServerConnection], None] = lambda connection: None
        self._reactor = reactor
        self._answers: list[Replied] = []
        self._waiting: Deferred[Any] | None = None
        self._timeout = 0.0
        self._deadline = 0.0  # for what is waited for, in the reactor's seconds
        self._look: IDelayedCall | None = None  # checks the deadline; may come too early
        self._handshaking = False
        self._paused = False

    def ask(self, *sayings: Saying | Spelled, timeout: float) -> Deferred[list[Replied]]:
        """Send these and wait for a reply to each, at most `timeout` seconds from one to the next.

        Fails with Ended if the connection ends before all have come. A 421 counts as a reply.
        """
        if self.ended is None and (octets := self.dialogue.send(*sayings)):
            write_promptly(self.transport, octets)
        return self.listen(timeout)

    def listen(self, timeout: float) -> Deferred[list[Replied]]:
        """Wait for all replies that the server still has to send."""
        waiting: Deferred[list[Replied]] = self._wait(timeout)
        self._tell_answers()
        return waiting

    def heard(self) -> list[Replied]:
        """The replies that came before the connection ended during an `ask`."""
        answers, self._answers = self._answers, []
        return answers

    def start_tls(self, options: Any, timeout: float) -> Deferred[None]:
        """Begin TLS, in which the dialogue starts anew. Fails with HandshakeFailed."""
        waiting: Deferred[None] = self._wait(timeout)
        if self.ended is None:
            self._handshaking = True
            self._wire.startTLS(options)
        return waiting

    def write(self, octets: bytes) -> None:
        """Send octets of the content. Raises Ended."""
        if self.ended is not None:
            raise self.ended
        write_promptly(self.transport, octets)

    def begin_content(self) -> None:
        """Begin to watch, until `end_content`, how fast the server reads."""
        if self.ended is None:
            self._wire.registerProducer(self, True)

    def taken(self, timeout: float) -> Deferred[None] | None:
        """None if more may be written now, else a Deferred that fires when it may. Raises Ended."""
        if self.ended is not None:
            raise self.ended
        return self._wait(timeout) if self._paused else None

    def end_content(self) -> None:
        """All content has been written, or no more of it will be."""
        self._paused = False
        if self.transport is not None and not self.closed.called:
            self._wire.unregisterProducer()

    def drop(self) -> None:
        """End the connection at once, whatever it is doing."""
        self._end(Ended(Reply(421, "Connection dropped", "4.4.2")))

    def leave(self) -> None:
        """Send QUIT, and do not wait for the 221."""
        if self.ended is None:
            write_promptly(self.transport, self.dialogue.send(_QUIT))
            self._end(Ended(_CLOSED), abort=False)
            # Do not wait long for a server that does not read our QUIT.
            lingering = self._reactor.callLater(_LINGER, self._wire.abortConnection)
            self.closed.addCallback(lambda _: lingering.cancel() if lingering.active() else None)

    def connectionMade(self) -> None:
        # A unix socket has no such method.
        if hasattr(self.transport, "setTcpNoDelay"):
            self._wire.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        self.dialogue.receive_data(data)
        is_answered = False
        while self.ended is None and (heard := self.dialogue.next_event()) is not None:
            if isinstance(heard, Replied):
                self._answers.append(heard)
                is_answered = True
            elif isinstance(heard, Unasked):
                self._end(Ended(heard.reply, spoken=True))
            else:
                self._end(Ended(_garbled(heard, self.name)))
        # Only a whole line extends the deadline.
        if self.ended is None and not self._tell_answers() and is_answered:
            self._set_deadline()

    def handshakeCompleted(self) -> None:
        self._handshaking = False
        handle = self._wire.getHandle()
        self.tls = tls_facts(handle)
        self.channel = TlsChannel(handle, is_server=False)
        self.dialogue.tls_started()
        self._fire(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._handshaking:
            text = f"TLS handshake with {self.name} failed: {_cause(reason)}"
            self._end(HandshakeFailed(Reply(451, text, "4.7.5")))
        elif self.ended is None:
            text = f"Connection with {self.name} was lost"
            self._end(Ended(Reply(451, text, "4.4.2")))
        self.closed.callback(None)

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        if self._waiting is not None and not self.dialogue.owed:
            self._fire(None)

    def stopProducing(self) -> None:
        self._paused = False

    @property
    def _wire(self) -> Any:
        """The transport, of any kind: TCP, TLS, unix."""
        return self.transport

    def _wait(self, timeout: float) -> Deferred[Any]:
        waiting = self._waiting = Deferred(self._cancelled)
        if self.ended is not None:
            self._fire(self.ended)
        else:
            self._timeout = timeout
            self._set_deadline()
        return waiting

    def _tell_answers(self) -> bool:
        """Hand over the awaited replies if all are there, and return True then."""
        if self._waiting is None or self.dialogue.owed or self._handshaking or self._paused:
            return False
        answers, self._answers = self._answers, []
        if self.dialogue.over:
            # 421 or 221: the last replies of this connection.
            waiting, self._waiting = self._waiting, None
            self._end(Ended(answers[-1].reply, spoken=True))
            waiting.callback(answers)
        else:
            self._fire(answers)
        return True

    def _fire(self, result: Any) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return
        if isinstance(result, Ended):
            waiting.errback(result)
        else:
            waiting.callback(result)

    def _cancelled(self, waiting: Deferred[Any]) -> None:
        """Nobody waits for the replies any more: drop the connection."""
        self._waiting = None
        self.drop()

    def _set_deadline(self) -> None:
        """Restart the timeout. A check that comes too early is cheaper than moving the timer."""
        self._deadline = self._reactor.seconds() + self._timeout
        if self._look is None:
            self._look = self._reactor.callLater(self._timeout, self._look_at_deadline)
        elif self._deadline < self._look.getTime():
            self._look.reset(self._timeout)

    def _look_at_deadline(self) -> None:
        self._look = None
        left = self._deadline - self._reactor.seconds()
        if self._waiting is None:
            return
        if left > 0:
            self._look = self._reactor.callLater(left, self._look_at_deadline)
        else:
            self._timed_out()

    def _timed_out(self) -> None:
        if self._handshaking:
            text = f"TLS handshake with {self.name} took too long"
            self._end(HandshakeFailed(Reply(451, text, "4.7.5")))
        else:
            self._end(Ended(Reply(451, f"{self.name} did not answer in time", "4.4.2")))

    def _end(self, ended: Ended, abort: bool = True) -> None:
        """End the connection. Only the first reason counts."""
        if self.ended is not None:
            return
        self.ended = ended
        if self._look is not None and self._look.active():
            self._look.cancel()
        self._look = None
        if self.transport is not None:
            self._wire.abortConnection() if abort else self._wire.loseConnection()
        self.on_end(self)
        self._fire(ended)


def _garbled(heard: Garbled, name: str) -> Reply:
    return Reply(451, f"{name} broke the protocol: it sent {heard.why}", "4.5.0")


def _cause(reason: Failure) -> str:
    """OpenSSL's words, or ours for a wrong certificate. Never contains text of the peer."""
    error = reason.value
    if isinstance(error, VerificationError):
        wanted = ", ".join(sorted({_wanted(each) for each in error.errors} - {""}))
        return f"the certificate does not name {wanted or 'the host'}"
    if isinstance(error, CertificateError):
        return "the certificate names nobody, or cannot be read"
    if isinstance(error, SSL.Error):
        words = [entry[-1] for entry in error.args[0]] if error.args and error.args[0] else []
        return ", ".join(word for word in words if word) or "the server hung up"
    return type(error).__name__


def _wanted(mismatch: Any) -> str:
    """The name or address that a certificate should have had."""
    wanted = mismatch.mismatched_id
    name = getattr(wanted, "hostname", None) or getattr(wanted, "ip", b"")
    return name.decode("ascii", "replace") if isinstance(name, bytes) else str(name)

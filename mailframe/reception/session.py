"""One client's session: answers each event of the dialogue, in the order in which they came.

This is where things are decided that the dialogue cannot know: the TLS and AUTH that a listener
requires, how many commands and messages are allowed, and what the hooks answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from ..eventual import at_once, is_later
from ..message import Client, Envelope, Tls
from ..message.vocabulary import Stage, Verdict
from ..smtp.command import (
    Auth,
    Bdat,
    Command,
    Data,
    Ehlo,
    Expn,
    Helo,
    Help,
    Lhlo,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    Vrfy,
    Xclient,
)
from ..smtp.event import AuthLine, ContentEnd, ContentOctets, Event, Rejected
from ..smtp.reply import (
    AUTH_REQUIRED,
    BAD_SEQUENCE,
    BYE,
    CANNOT_VERIFY,
    NOT_IMPLEMENTED,
    OK,
    OUT_OF_STEP,
    READY_FOR_TLS,
    SENDER_OK,
    TLS_REQUIRED,
    TLS_UNAVAILABLE,
    Reply,
)
from ..smtp.server import ServerDialogue
from .introduction import Introduction
from .shared import Shared, fault_reply
from .tally import Tally
from .transaction import Transaction

if TYPE_CHECKING:
    from ..wire.handshake import TlsChannel

Answer = Reply | tuple[Reply, ...] | None


class Session:
    """Answers a client's commands. `introduction` is what is known of the client so far.

    `xclient` says whether the client may use XCLIENT (`Offer.xclient`). `admit` counts the client
    that XCLIENT names instead; it returns a refusal if there are too many.

    Nothing here makes a Deferred unless a hook or the store has to be waited for.
    """

    __slots__ = (
        "_admit",
        "_over",
        "_shared",
        "_tally",
        "dialogue",
        "gone",
        "introduction",
        "transaction",
    )

    _log = Logger()

    def __init__(
        self,
        shared: Shared,
        client: Client,
        xclient: bool | None = None,
        admit: Callable[[Client], Reply | None] = lambda client: None,
    ) -> None:
        self._shared = shared
        self._admit = admit
        self.introduction = Introduction(shared, client, xclient)
        lmtp = shared.listener.protocol == "lmtp"
        self.dialogue = ServerDialogue(
            shared.hostname,
            self.introduction.offer(),
            lmtp=lmtp,
            strict=shared.listener.strict,
            normalize=shared.listener.bare_lf == "normalize",
        )
        self.transaction: Transaction | None = None
        self._over: Envelope | None = None  # of the transaction that this answer has ended
        self.gone = False
        self._tally = Tally(shared.limits)

    @property
    def client(self) -> Client:
        """What is known of the client."""
        return self.introduction.client

    async def open(self) -> Reply:
        """The greeting, or a refusal in its place, which closes the connection."""
        try:
            refusal = await self.introduction.connect()
        except Exception:  # noqa: BLE001
            return self._faulty("connect", 421)  # RFC 5321 section 4.3.2 allows no 451 here
        self.tell(refusal or Verdict.CONNECTED)
        return refusal or self.dialogue.greeting()

    def answer(self, event: Event) -> Answer | Coroutine[Any, Any, Answer]:
        """The answer to one event; None if the event has none. Raises nothing."""
        refusal = self._tally.command(event)
        if refusal is not None:
            return refusal
        answer: Any
        try:
            answer = _ANSWERS[type(event)](self, event)
        # A bug in mailframe is answered with 451, and the session goes on.
        except Exception:  # noqa: BLE001
            answer = self._broken(event)
        if answer is None:
            return None
        if type(answer) is CoroutineType:
            if type(event) is ContentEnd:  # it waits for the disk, so it waits
                return self._answer_later(event, answer)
            try:
                answer = at_once(answer)
            except Exception:  # noqa: BLE001
                answer = self._broken(event)
            if is_later(answer):
                return self._answer_later(event, answer)
        return self._judged(event, answer)

    async def _answer_later(self, event: Event, coming: Awaitable[Answer]) -> Answer:
        try:
            answer = await coming
        except Exception:  # noqa: BLE001
            answer = self._broken(event)
        return self._judged(event, answer)

    def _judged(self, event: Event, answer: Any) -> Answer:
        if type(answer) is Reply and answer.code >= 400:
            answer = self._counted(event, answer)
        self._over = None
        return answer  # type: ignore[no-any-return]

    def _broken(self, event: Event) -> Reply | None:
        """What to answer if answering failed."""
        kind = type(event)
        reply = self._faulty(kind.__name__)
        if kind is ContentOctets or kind is Bdat:
            if self.transaction is not None:
                self.transaction.fail(reply)
            return None
        if kind is ContentEnd:
            self._finish()
        return reply

    def _counted(self, event: Event, refusal: Reply) -> Reply:
        """The refusal, or the last reply if there were too many refusals."""
        kind = type(event)
        if self._shared.hooks.observers:
            self.tell(refusal, command=kind.__name__.lower(), **self._paths(event))
        return self._tally.refused(kind, refusal)

    def _paths(self, event: Event) -> dict[str, str]:
        """The sender of the transaction, and the recipient that was refused, as facts."""
        if type(event) is Mail:
            return {"sender": str(event.sender or "<>")}
        envelope = self._envelope
        if envelope is None:
            return {}
        sender = str(envelope.sender or "<>")
        if type(event) is Rcpt:
            return {"sender": sender, "recipient": str(event.recipient)}
        return {"sender": sender}

    @property
    def _envelope(self) -> Envelope | None:
        """Of the transaction that is open, or that the answer under way has ended."""
        return self._over if self.transaction is None else self.transaction.envelope

    async def _hello(self, command: Helo | Ehlo | Lhlo) -> Reply:
        refusal = await self.introduction.hello(command)
        if refusal is not None:
            return refusal
        # RFC 5321 section 4.1.4: the same as RSET.
        self._reset(command)
        return self.dialogue.hello_reply(command)

    async def _xclient(self, command: Xclient) -> Reply:
        """The session of another client begins (Postfix's XCLIENT_README)."""
        self._reset(command)
        client = self.introduction.speak_for(command)
        refusal = self._admit(client)
        if refusal is None:
            refusal = await self.introduction.connect()
        self.tell(refusal or Verdict.CONNECTED)
        if refusal is None:
            self.dialogue.offer = self.introduction.offer()
            return self.dialogue.greeting()
        # As after a greeting that refuses: nothing more from this client is read.
        return Reply(421, refusal.text, f"4{refusal.status[1:]}" if refusal.status else "4.7.0")

    def _start_tls(self, command: StartTls) -> Reply:
        if not self.dialogue.offer.starttls:
            return BAD_SEQUENCE if self.client.tls else TLS_UNAVAILABLE
        return READY_FOR_TLS

    def forget(self) -> None:
        """TLS begins: forget everything that the client said before it (RFC 3207 section 4.2)."""
        self._finish()
        self.introduction.forget()

    def secured(self, tls: Tls, channel: TlsChannel) -> None:
        """The handshake is finished."""
        self.introduction.secured(tls, channel)
        self.dialogue.offer = self.introduction.offer()
        self.tell(Verdict.TLS, version=tls.version, cipher=tls.cipher)

    async def _mail(self, command: Mail) -> Reply:
        client, requires = self.introduction.client, self._shared.listener.requires
        if "tls" in requires and client.tls is None:
            return TLS_REQUIRED
        if "auth" in requires and client.user is None:
            return AUTH_REQUIRED
        too_many = self._tally.message()
        if too_many is not None:
            return too_many
        self._reset(command)
        envelope = self.introduction.envelope(command)
        transaction = Transaction(self._shared, envelope, self.introduction.found())
        refusal = await transaction.sender()
        if refusal is not None:
            self._over = transaction.envelope
            return refusal
        self.transaction = transaction
        return SENDER_OK

    async def _rcpt(self, command: Rcpt) -> Reply:
        if self.transaction is None:
            return BAD_SEQUENCE
        return await self.transaction.recipient(command)

    def _data(self, command: Data) -> Reply:
        if self.transaction is None:
            return BAD_SEQUENCE
        return self.transaction.begin()

    def _bdat(self, command: Bdat) -> None:
        transaction = self.transaction
        if transaction is not None and transaction.began is None:
            transaction.begin()

    def _content(self, content: ContentOctets) -> Coroutine[Any, Any, None] | None:
        return None if self.transaction is None else self.transaction.write(content.octets)

    async def _content_end(self, end: ContentEnd) -> Answer:
        transaction = self.transaction
        if transaction is None:
            return end.refusal or BAD_SEQUENCE
        if end.refusal is not None:
            transaction.fail(end.refusal)
        if not end.last and transaction.failure is None:
            return OK
        reply = await transaction.end()
        self._finish()
        if reply.positive:
            self._tally.accepted()
            transaction.tell_accepted()
        if self._shared.listener.protocol == "lmtp" and end.last:
            # RFC 2033 section 4.2: one reply for each RCPT that was answered positively.
            counted = reply if reply.positive else self._counted(end, reply)
            return (counted,) * transaction.accepted
        return reply

    def _rset(self, command: Rset) -> Reply:
        self._reset(command)
        return OK

    def _reset(self, command: Command) -> None:
        """Forget the transaction and its draft, for this command."""
        if self.transaction is None:
            return
        if self._shared.hooks.observers:
            envelope, client = self.transaction.envelope, self.introduction.client
            self._shared.hooks.tell(
                Stage.RECEPTION,
                Verdict.ABANDONED,
                id=envelope.id,
                session=client.session,
                client=client.address,
                sender=str(envelope.sender or "<>"),
                command=type(command).__name__.lower(),
            )
        self._finish()

    def _finish(self) -> None:
        """The transaction is over; of its draft nothing is left."""
        transaction, self.transaction = self.transaction, None
        if transaction is not None:
            transaction.abort()
            self._over = transaction.envelope

    def _rejected(self, event: Rejected) -> Answer:
        if event.last:
            reply = self._counted(event, event.reply)
            return reply if reply.code == 421 else (reply, OUT_OF_STEP)
        return self.introduction.auth_refusal(event.reply)

    def _help(self, command: Help) -> Reply:
        return self.dialogue.help_reply()

    def _quit(self, command: Quit) -> Reply:
        self._reset(command)
        return BYE

    def hang_up(self) -> None:
        """The client has gone or is about to: nothing more is made durable for it."""
        self.gone = True
        if self.transaction is not None:
            self.transaction.gone = True
        self.introduction.hang_up()

    def close(self) -> None:
        """No answer is under way, and none will follow: drop the draft."""
        self.hang_up()
        # Told while the transaction is there: it ends with the session.
        self.tell(Verdict.DISCONNECTED)
        self._finish()

    def _faulty(self, what: str, code: int = 451) -> Reply:
        """Log the exception that is being handled; the reply with its reference."""
        reply = fault_reply(code)
        self._log.failure(
            "session {session}: {what}: {answer}",
            session=self.client.session,
            what=what,
            answer=str(reply),
        )
        return reply

    def tell(self, verdict: Verdict | Reply, **facts: Any) -> None:
        hooks = self._shared.hooks
        if not hooks.observers:
            return
        client, envelope = self.introduction.client, self._envelope
        hooks.tell(
            Stage.SESSION,
            verdict,
            id="" if envelope is None else envelope.id,
            session=client.session,
            client=client.address,
            listener=client.listener,
            **facts,
        )


_ANSWERS: Mapping[type, Callable[[Session, Any], Answer | Coroutine[Any, Any, Answer]]] = {
    Helo: Session._hello,
    Ehlo: Session._hello,
    Lhlo: Session._hello,
    Mail: Session._mail,
    Rcpt: Session._rcpt,
    Data: Session._data,
    Bdat: Session._bdat,
    Rset: Session._rset,
    Vrfy: lambda session, command: CANNOT_VERIFY,
    Expn: lambda session, command: NOT_IMPLEMENTED,
    Help: Session._help,
    Noop: lambda session, command: OK,
    Quit: Session._quit,
    StartTls: Session._start_tls,
    Xclient: Session._xclient,
    Auth: lambda session, command: session.introduction.auth(command),
    AuthLine: lambda session, line: session.introduction.auth_line(line),
    Rejected: Session._rejected,
    ContentOctets: Session._content,
    ContentEnd: Session._content_end,
}

"""One mail transaction (RFC 5321 section 3.3) over a connection that is ready for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from ..message import Recipient
from ..smtp.address import Mailbox
from ..smtp.client import Replied, Spelled, spell
from ..smtp.command import Bdat, Data, Mail, Rset
from ..smtp.event import ContentEnd
from ..smtp.reply import BAD_LINE_ENDS, LOCAL_ERROR, Reply
from ..smtp.transparency import BadLineEnds
from .commands import fit_address, mail_command, rcpt_command
from .connection import Ended, ServerConnection
from .content import send_chunk, send_data
from .form import Form, KeptHere, MessageForms
from .times import Timeouts

NO_UNICODE = Reply(553, "The next host does not take non-ASCII addresses", "5.6.7")
BAD_ADDRESS = Reply(553, "Not an address that SMTP can carry", "5.1.3")
BAD_SENDER = Reply(553, "Not a sender's address that SMTP can carry", "5.1.7")

NOTHING: Mapping[Recipient, Mailbox] = MappingProxyType({})

_DATA, _END, _RSET = spell(Data()), spell(ContentEnd()), spell(Rset())


@dataclass(frozen=True, slots=True)
class RecipientVerdict:
    """The result of a transaction for one recipient.

    `ours` means that the reply is this host's, not the server's. `here` means that no other
    exchange of the next hop is to be asked, because its answer would be the same, or because the
    server may already have the message.
    """

    recipient: Recipient
    reply: Reply
    ours: bool = False
    here: bool = False


@dataclass(slots=True)
class Verdicts:
    """The result of a transaction.

    `said` has the verdicts of the recipients that were answered. Those in `again` need another
    transaction with this server, because there were too many or they have another sender. The
    server went away before it answered the others, and nothing was handed over for them. `lost`
    says how it went away, and is temporary; `spoken` is True if these are the server's words.
    """

    said: list[RecipientVerdict] = field(default_factory=list)
    again: list[Recipient] = field(default_factory=list)
    lost: Reply | None = None
    spoken: bool = False


class Transaction:
    """Delivers one message to some recipients. Call `run()` once.

    `sender` is the reverse-path. `spelled` has the recipients that the server is given by another
    address than their own. Everything that goes wrong is in the Verdicts. If the connection
    cannot be used afterwards, it has ended.
    """

    def __init__(
        self,
        connection: ServerConnection,
        forms: MessageForms,
        sender: Mailbox | None,
        recipients: Sequence[Recipient],
        timeouts: Timeouts,
        spelled: Mapping[Recipient, Mailbox] = NOTHING,
    ) -> None:
        self._connection = connection
        self._extensions = connection.dialogue.extensions
        self._forms = forms
        self._sender = sender
        self._timeouts = timeouts
        self._spelled = spelled
        self._open = list(recipients)  # those without a verdict, in the order of RCPT
        self._verdicts = Verdicts()

    async def run(self) -> Verdicts:
        """From MAIL to the reply to the content."""
        self._connection.transactions += 1
        try:
            form = await self._forms.form(self._extensions)
            if isinstance(form, Reply):
                self._close_all(form, ours=True)
            elif isinstance(form, KeptHere):
                self._close_all(form.reply, ours=True, here=True)
            elif self._extensions.size and form.content.size > self._extensions.size:
                text = f"The next host takes at most {self._extensions.size} octets"
                self._close_all(Reply(552, text, "5.3.4"), ours=True)
            else:
                await self._converse(form)
        except Ended as ended:
            self._verdicts.lost = _deferring(ended.reply)
            self._verdicts.spoken = ended.spoken and ended.reply.temporary
        except OSError:
            # The server may have half a message, and must never see an end of it.
            self._connection.drop()
            self._close_all(LOCAL_ERROR, ours=True, here=True)
        return self._verdicts

    async def _converse(self, form: Form) -> None:
        if form.senders:
            self._take_sender(form.senders)
        commands = self._commands(form)
        if not commands:
            return
        go_ahead = await self._envelope(commands, form)
        self._sort_out_ended()
        if not self._open:
            await self._abandon(go_ahead)
        elif form.in_chunks:
            size = form.content.size
            self._connection.write(self._connection.dialogue.send(Bdat(size, last=True)))
            await self._content(form)
        elif go_ahead is not None and go_ahead.positive:
            await self._content(form)
        elif go_ahead is not None:
            self._close_all(go_ahead)
            await self._reset()

    def _take_sender(self, senders: Mapping[Recipient, Mailbox]) -> None:
        """Take the first recipient's sender. Recipients with another need another transaction."""
        ours = self._sender
        self._sender = senders.get(self._open[0], ours)
        for recipient in self._open[1:]:
            if senders.get(recipient, ours) != self._sender:
                self._open.remove(recipient)
                self._verdicts.again.append(recipient)

    def _commands(self, form: Form) -> list[Spelled]:
        """MAIL and one RCPT for each open recipient; [] if nothing can be written."""
        sender = fit_address(self._sender, self._extensions) if self._sender else None
        addresses = [sender] if sender else []
        rcpts: list[Spelled] = []
        for recipient in list(self._open):
            ours = self._spelled.get(recipient, recipient.address)
            address = fit_address(ours, self._extensions)
            if address is None or (self._sender and sender is None):
                self._close(recipient, NO_UNICODE, ours=True)
                continue
            command = rcpt_command(recipient, address, self._extensions)
            if command is None:
                self._close(recipient, BAD_ADDRESS, ours=True)
            else:
                rcpts.append(command)
                addresses.append(address)
        mail = self._mail(form, sender, addresses) if rcpts else None
        if mail is None:
            self._close_all(BAD_SENDER, ours=True)
        return [] if mail is None else [mail, *rcpts]

    def _mail(self, form: Form, sender: Mailbox | None, said: list[Mailbox]) -> Spelled | None:
        """The MAIL command. `said` are all addresses of MAIL and RCPT."""
        envelope = self._forms.message.envelope
        return mail_command(
            envelope,
            self._sender,
            sender,
            size=form.content.size,
            body=form.body,
            smtputf8="SMTPUTF8" in self._extensions
            # RFC 6531 section 3.4: not if nothing in the message needs SMTPUTF8.
            and (
                (envelope.smtputf8 and not form.ascii)
                or not all(address.is_ascii for address in said)
            ),
            extensions=self._extensions,
        )

    async def _envelope(self, commands: list[Spelled], form: Form) -> Reply | None:
        """MAIL, RCPT and DATA. Returns the reply to DATA, None if DATA was not sent."""
        data = [] if form.in_chunks else [_DATA]
        if "PIPELINING" in self._extensions:
            try:
                answers = await self._connection.ask(
                    *commands, *data, timeout=self._timeouts.recipient
                )
            except Ended:
                # RFC 5321 section 4.2.1: a reply that has come counts, whatever comes after it.
                self._judge(self._connection.heard()[: len(commands)])
                raise
            go_ahead = answers.pop().reply if data else None
            self._judge(answers)
            return go_ahead
        await self._one_by_one(commands)
        if not self._open or not data or self._connection.ended is not None:
            return None
        [answer] = await self._connection.ask(_DATA, timeout=self._timeouts.data)
        return answer.reply

    async def _one_by_one(self, commands: list[Spelled]) -> None:
        """MAIL and RCPT without PIPELINING; those answers that come before it ends count too."""
        answers: list[Replied] = []
        try:
            for command in commands:
                is_mail = isinstance(command.saying, Mail)
                wait = self._timeouts.mail if is_mail else self._timeouts.recipient
                answers += await self._connection.ask(command, timeout=wait)
                if not answers[0].reply.positive or self._connection.ended is not None:
                    break
        finally:
            self._judge(answers)

    def _judge(self, answers: list[Replied]) -> None:
        """Note the replies to MAIL and to each RCPT. Accepted recipients stay open.

        There may be fewer replies than commands, if the server did not answer the last ones.
        """
        if not answers:
            return
        mail, *rcpts = answers
        if not mail.reply.positive:
            if mail.reply.code != 421:
                self._close_all(mail.reply)
            return
        accepts_any = False
        for recipient, answer in list(zip(self._open, rcpts, strict=False)):
            reply = answer.reply
            if reply.positive:
                accepts_any = True
            elif reply.code == 421:
                continue
            elif accepts_any and _is_too_many(reply):
                self._open.remove(recipient)
                self._verdicts.again.append(recipient)
            else:
                self._close(recipient, reply)

    def _sort_out_ended(self) -> None:
        """Note that a 421 has ended it, and nothing was handed over."""
        if self._connection.ended is not None:
            raise self._connection.ended

    async def _abandon(self, go_ahead: Reply | None) -> None:
        """End it if no recipient was accepted: RFC 2920 section 3.1 says how, even after a 354."""
        if go_ahead is not None and go_ahead.positive:
            self._connection.write(b".\r\n")
            await self._connection.ask(_END, timeout=self._timeouts.final)
        await self._reset()

    async def _reset(self) -> None:
        """Reset the connection for another transaction, or end it."""
        if self._connection.ended is not None:
            return
        try:
            [answer] = await self._connection.ask(_RSET, timeout=self._timeouts.reset)
        except Ended:
            return  # all verdicts are known, and the pool sees that it has ended
        if not answer.reply.positive:
            self._connection.drop()

    async def _content(self, form: Form) -> None:
        send = send_chunk if form.in_chunks else send_data
        try:
            await send(self._connection, form.content, self._forms.in_thread, self._timeouts.block)
        except BadLineEnds:
            self._connection.drop()
            return self._close_all(BAD_LINE_ENDS, ours=True, here=True)
        except Ended as ended:
            if ended.spoken and ended.reply.code != 421 and not ended.reply.positive:
                return self._close_all(ended.reply)  # it refused before the end of the content
            raise
        return await self._final()

    async def _final(self) -> None:
        """The reply to the content, or in LMTP one for each recipient.

        If the server goes away before it replies, it may have the message. The recipients are
        deferred, and may get it twice (RFC 5321 section 4.5.4.1), but never not at all.
        """
        lost: Reply | None = None
        try:
            answers = await self._connection.ask(_END, timeout=self._timeouts.final)
        except Ended as ended:
            answers, lost = self._connection.heard(), _deferring(ended.reply)
        waiting = list(self._open)
        if self._connection.dialogue.lmtp:
            for recipient, answer in zip(waiting, answers, strict=False):
                self._close(recipient, answer.reply, here=answer.reply.code == 421)
        elif answers:
            # A server that hangs up with a 421 may have taken the message all the same.
            self._close_all(answers[0].reply, here=answers[0].reply.code == 421)
        if lost is not None:
            self._close_all(lost, ours=True, here=True)
        elif not all(answer.reply.positive for answer in answers):
            await self._reset()

    def _close(
        self, recipient: Recipient, reply: Reply, ours: bool = False, here: bool = False
    ) -> None:
        self._open.remove(recipient)
        self._verdicts.said.append(RecipientVerdict(recipient, reply, ours, here))

    def _close_all(self, reply: Reply, ours: bool = False, here: bool = False) -> None:
        for recipient in list(self._open):
            self._close(recipient, reply, ours, here)


def _is_too_many(reply: Reply) -> bool:
    """True for 452, and for 552 (RFC 5321 section 4.5.3.1.10), unless the status differs.

    It can mean "too many recipients" only if the server accepted another recipient of the
    transaction. A recipient that is refused first, or alone, has a full mailbox.
    """
    return reply.code in (452, 552) and (reply.status or "")[1:] in (".5.3", ".0.0")


def _deferring(reply: Reply) -> Reply:
    """The same text as a temporary reply."""
    if reply.temporary:
        return reply
    return Reply(451, "The server went away before it took the message", "4.4.2")

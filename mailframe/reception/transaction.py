"""One mail transaction (RFC 5321 section 3.3): from MAIL until the message is durable or dropped.

Errors of the store and of this host are 4xx: the client did nothing wrong and may try again.
"""

from __future__ import annotations

import errno
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from twisted.logger import Logger

from ..eventual import at_once, is_later
from ..final_delivery import delivered_to, was_at
from ..hooks import PASSED, Filtered, Routing
from ..interfaces import IDraft
from ..message import Envelope, Recipient, new_id
from ..message.vocabulary import Stage, Verdict
from ..mime.write import field_octets
from ..smtp.address import Mailbox
from ..smtp.command import Rcpt
from ..smtp.reply import (
    BEEN_HERE,
    GO_AHEAD,
    LOCAL_ERROR,
    RECIPIENT_OK,
    STORAGE_FULL,
    TOO_MANY_RECIPIENTS,
    Reply,
)
from . import header
from .demands import Demands, redirected
from .rewriting import rewrite, rewritten
from .shared import Shared, fault_reply

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Transaction:
    """The envelope as it grows, and the draft into which the content is written.

    `accepted` counts positive answers to RCPT (LMTP needs a reply for each). `began` is the
    reactor's time of DATA or of the first BDAT, None before. Once `gone` is set, nothing more is
    made durable. `size` counts the content's octets. `found` is what filters found before MAIL.
    """

    __slots__ = (
        "_addresses",
        "_demands",
        "_draft",
        "_failure",
        "_fields",
        "_ours",
        "_scan",
        "_separator",
        "_shared",
        "accepted",
        "began",
        "envelope",
        "gone",
        "size",
    )

    _log = Logger()

    def __init__(
        self, shared: Shared, envelope: Envelope, found: tuple[Filtered, ...] = ()
    ) -> None:
        self._shared = shared
        self._addresses: set[object] = set()
        self._draft: IDraft | None = None
        self._failure: Reply | None = None
        self._fields: list[str] = []
        self._ours: set[Mailbox] = set()  # of the recipients, mailboxes and aliases of this host
        self._demands = Demands()
        self._scan = header.scan(shared.limits)
        self._separator = header.separator(shared.listener)
        self.envelope = envelope
        self.accepted = 0
        self.began: float | None = None
        self.gone = False
        self.size = 0
        for each in found:
            if each is not PASSED:
                self._keep(each)

    async def sender(self) -> Reply | None:
        """Ask the filters about the sender; their refusal, None if they accept it."""
        found = self._shared.hooks.sender(self.envelope)
        return self._taken(await found if is_later(found) else found)

    async def recipient(self, command: Rcpt) -> Reply:
        """The reply to RCPT: relay decides, then route, then the filters."""
        hooks = self._shared.hooks
        # A repeated recipient counts too, because LMTP needs a reply for each.
        if self.accepted >= self._shared.limits.recipients:
            return TOO_MANY_RECIPIENTS
        recipient = Recipient(command.recipient, command.notify, command.orcpt)
        allowed = hooks.judge(self.envelope, recipient)
        if is_later(allowed):
            allowed = await allowed
        if not allowed.positive:
            return allowed
        routing = hooks.accepts(self.envelope, recipient)
        if is_later(routing):
            routing = await routing
        if routing.refusals:
            replies = [reply for _, reply in routing.refusals]
            # If it may work later, the client must not bounce the mail now.
            return next((reply for reply in replies if reply.temporary), replies[0])
        found = hooks.recipient(self.envelope, recipient)
        if is_later(found):
            found = await found
        others = found.redirect
        refusal = self._taken(replace(found, redirect=()) if others else found)
        if refusal is not None:
            return refusal
        self.accepted += 1
        for each in redirected((recipient,), others) if others else (recipient,):
            if each is recipient and _is_ours(routing):
                self._ours.add(each.address)
            if each.address not in self._addresses:
                self._addresses.add(each.address)
                self.envelope = self.envelope.to(each)
        return RECIPIENT_OK

    def begin(self) -> Reply:
        """Begin the content, at DATA or the first BDAT.

        GO_AHEAD, or the reason why that is not possible.
        """
        self.began = self._shared.reactor.seconds()
        try:
            self._draft = self._shared.store.begin(self.envelope)
        # Whatever the store's problem is, it is not the client's fault.
        except Exception as failed:  # noqa: BLE001
            self._failure = self._store_failed(failed)
            return self._failure
        return GO_AHEAD

    def write(self, octets: bytes) -> Coroutine[Any, Any, None] | None:
        """Add octets of the content.

        After a failure they are dropped. To be awaited if it is not None.
        """
        if self._failure is not None or self._draft is None:
            return None
        self.size += len(octets)
        if not self._separator.ended:
            octets = self._separator.feed(octets)
            if not octets:
                return None
        return self._put(octets)

    def _put(self, octets: bytes) -> Coroutine[Any, Any, None] | None:
        """Add octets in the form in which they are stored."""
        if self._draft is None:
            return None
        scan = self._scan
        if not scan.ended:
            scan.feed(octets)
            refusal = header.refusal(scan)
            if refusal is not None:
                self.fail(refusal)
                return None
        try:
            waiting = self._draft.write(octets)
        except Exception as failed:  # noqa: BLE001
            self.fail(self._store_failed(failed))
            return None
        return None if waiting is None else self._written(waiting)

    async def _written(self, waiting: Any) -> None:
        """The store asks to wait before it gets more."""
        try:
            waiting = at_once(waiting)
            if is_later(waiting):
                await waiting
        except Exception as failed:  # noqa: BLE001
            self.fail(self._store_failed(failed))

    def fail(self, reply: Reply) -> None:
        """The content cannot be accepted any more; `reply` is the answer at its end."""
        if self._failure is None:
            self._failure = reply
        self.abort()

    @property
    def failure(self) -> Reply | None:
        """The reason why the content cannot be accepted; None if it can."""
        return self._failure

    async def end(self) -> Reply:
        """Make the message durable, or answer why not.

        Afterwards the draft is gone in either case.
        """
        rest = self._separator.finish()
        if rest and (waiting := self._put(rest)) is not None:
            await waiting
        draft = self._draft
        if self._failure is not None or draft is None:
            return self._failure or LOCAL_ERROR
        try:
            refusal = await self._looped(draft) or await self._judged(draft)
            if refusal is None and self._demands.without and not self._is_over:
                draft = await self._rewritten(draft)
            # The client may have gone meanwhile.
            if refusal is not None or self.gone:
                return refusal or LOCAL_ERROR
            if self._demands.discard:
                self._shared.hooks.tell(Stage.RECEPTION, Verdict.DISCARDED, **self._told())
                return Reply(250, f"OK, queued as {self.envelope.id}", "2.0.0")
            self.envelope = self._demands.applied(self.envelope)
            entry = at_once(self._shared.commit(draft, self.envelope, self._prefix()))
            if is_later(entry):
                entry = await entry
        except Exception as failed:  # noqa: BLE001
            return self._store_failed(failed)
        else:
            self._draft = None
        finally:
            self.abort()
        return Reply(250, f"OK, queued as {entry.id}", "2.0.0")

    @property
    def _is_over(self) -> bool:
        """True if the octets will not be kept, whatever they are."""
        return self.gone or self._demands.discard

    async def _rewritten(self, old: IDraft) -> IDraft:
        """A draft without the fields that filters remove, in place of the old one.

        A large message gets another id, because both drafts are in the store for a while.
        """
        shared, without = self._shared, self._demands.without
        body, limit = old.content().body, self._shared.limits.header_size
        if isinstance(body, bytes):
            self.abort()
            new = self._draft = shared.store.begin(self.envelope)
            first = rewritten(body, without, limit)
            waiting = at_once(new.write(first))
            if is_later(waiting):
                await waiting
            self._scan_again(first)
            return new
        before, id = self.envelope.id, new_id(shared.now())
        self.envelope = replace(self.envelope, id=id)
        new = shared.store.begin(self.envelope)
        try:
            source = await shared.in_thread(body)
            try:
                first = await rewrite(source, new, without, limit, shared.in_thread)
            finally:
                await shared.in_thread(source.close)
        except BaseException:
            new.abort()
            raise
        self.abort()
        self._draft = new
        self._scan_again(first)
        shared.hooks.tell(Stage.RECEPTION, Verdict.REWRITTEN, id=before, becomes=id)
        return new

    def _scan_again(self, first: bytes) -> None:
        """Check the header section again as it is now; at submission, missing fields are added."""
        self._scan = header.scan(self._shared.limits)
        self._scan.feed(first)

    async def _looped(self, draft: IDraft) -> Reply | None:
        """The refusal if the message has been delivered to all of its recipients before.

        So the client, which may be part of the loop, is told, instead of the sender by a bounce.
        """
        if not self._scan.count(b"delivered-to") or not self._ours:
            return None
        if any(each.address not in self._ours for each in self.envelope.recipients):
            return None
        content = draft.content()
        if content.at_hand is None:
            seen = await self._shared.in_thread(delivered_to, content)
        else:
            seen = delivered_to(content)
        return BEEN_HERE if all(was_at(each, seen) for each in self._ours) else None

    async def _judged(self, draft: IDraft) -> Reply | None:
        """Ask the filters about the content; their refusal."""
        hooks = self._shared.hooks
        if not hooks.filters:
            return None
        content = replace(draft.content(), prefix=self._prefix())
        found = hooks.content(self.envelope, content)
        return self._taken(await found if is_later(found) else found)

    def abort(self) -> None:
        """Drop the draft; nothing remains."""
        draft, self._draft = self._draft, None
        if draft is None:
            return
        try:
            draft.abort()
        except Exception:  # noqa: BLE001
            self._log.failure("{id}: the draft could not be aborted", id=self.envelope.id)

    def _taken(self, found: Filtered) -> Reply | None:
        """Keep what filters found. Returns their refusal."""
        if found is PASSED:
            return None
        if found.signals:
            signals = {**self.envelope.signals, **found.signals}
            self.envelope = replace(self.envelope, signals=signals)
        self._keep(found)
        return found.refusal

    def _keep(self, found: Filtered) -> None:
        if found.results:
            self.envelope = replace(self.envelope, results=(*self.envelope.results, *found.results))
        self._fields.extend(found.headers)
        self._demands.add(found)

    def _prefix(self) -> bytes:
        """The lines on top: Received:, fields of filters and, at submission, missing fields."""
        envelope, hostname = self.envelope, self._shared.hostname
        rows = [header.received(envelope, hostname)]
        for text in self._fields:
            octets = field_octets(text, envelope.smtputf8)
            if octets is None:
                self._log.error(
                    "{id}: a filter's header field is not one: {field!r}",
                    id=envelope.id,
                    field=text[:80],
                )
            else:
                rows.append(octets)
        if self._is_submission:
            rows.append(header.missing(envelope, hostname, self._scan))
        return b"".join(rows)

    @property
    def _is_submission(self) -> bool:
        """True if RFC 6409 section 8 applies; see the setting `submission` for the default."""
        listener = self._shared.listener
        if listener.submission is not None:
            return listener.submission
        return "auth" in listener.requires or self.envelope.client.user is not None

    def _store_failed(self, failed: Exception) -> Reply:
        """452 for a full disk, else 451 (RFC 5321 section 4.2.1: a 4xx for errors of the host)."""
        id, repeated = self.envelope.id, self._shared.repeated
        if isinstance(failed, OSError) and failed.errno in _FULL:
            repeated.error("{id}: the store is full", id=id)
            return STORAGE_FULL
        reply = fault_reply()
        if not repeated.failure("{id}: {answer}", id=id, answer=str(reply)):
            # The client reads this reference, so it is always in the log.
            self._log.error(
                "{id}: {answer}: {reason}", id=id, answer=str(reply), reason=repr(failed)
            )
        return reply

    def tell_accepted(self) -> None:
        """Tell observers that the message is durable."""
        if self._shared.hooks.observers and not self._demands.discard:
            self._shared.hooks.tell(Stage.RECEPTION, Verdict.ACCEPTED, **self._told())

    def _told(self) -> dict[str, Any]:
        envelope, client = self.envelope, self.envelope.client
        told = {
            "id": envelope.id,
            "session": client.session,
            "client": client.address,
            "listener": client.listener,
            "hello": client.hello,
            "user": client.user,
            "protocol": client.protocol,
            "sender": str(envelope.sender or "<>"),
            "recipients": [str(recipient.address) for recipient in envelope.recipients],
            "size": self.size,
            "signals": envelope.signals,
        }
        return {**told, "held": envelope.held} if envelope.held else told


def _is_ours(routing: Routing) -> bool:
    """True if the recipient is a mailbox or an alias of this host."""
    route = next(iter(routing.routes), None)
    return (
        route is None
        or route.mailbox is not None
        or bool(route.recipient and route.recipient.came_from)
    )

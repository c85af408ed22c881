"""The state of each recipient of one message: who still waits, and what has to be reported."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from ..message import Entry, Outcome, Pending, Recipient, Status
from ..message.vocabulary import Stage, Verdict
from ..smtp.reply import LOCAL_ERROR, RECIPIENT_OK, Reply
from . import retry
from .bounce import Action, Notice
from .context import Context

if TYPE_CHECKING:
    from ..hooks import Routing

_SUCCESS: dict[Status, Action] = {
    Status.DELIVERED: "delivered",
    Status.RELAYED: "relayed",
    Status.EXPANDED: "expanded",
}


class Progress:
    """The results of an attempt so far. Nothing of it is durable here.

    `left` are the recipients that still wait, as they will be recorded. `changed` is True if they,
    or the notices, have changed since the last `take`.
    """

    def __init__(self, context: Context, entry: Entry) -> None:
        self._context = context
        self._entry = entry
        self.left: dict[Recipient, Pending] = {each.recipient: each for each in entry.pending}
        self.changed = False
        self._notices: list[Notice] = []
        self._chance: float | None = None

    def take(self) -> tuple[list[Notice], dict[Recipient, Pending]]:
        """The notices to report and the recipients to record now. Resets `changed`."""
        self.changed = False
        notices, self._notices = self._notices, []
        return notices, dict(self.left)

    def expand(self, pending: Pending, routing: Routing) -> None:
        """Replace a recipient with those that it stands for."""
        children = [route.recipient for route in routing.routes if route.recipient is not None]
        children += [recipient for recipient, _ in routing.refusals]
        recipient = pending.recipient
        if len(children) == 1 and (children[0] is recipient or children[0] == recipient):
            return
        del self.left[recipient]
        self.changed = True
        for child in children:
            self.left[child] = replace(pending, recipient=child)
        notify = recipient.notify
        if notify is None or "SUCCESS" not in notify:
            return
        if any(child.notify is not None and "SUCCESS" in child.notify for child in children):
            return
        # RFC 3461 section 5.2.7: a list has received the message; several mailboxes: "expanded".
        own = any(child.sender not in (None, recipient.sender) for child in children)
        self._notices.append(Notice("delivered" if own else "expanded", recipient, RECIPIENT_OK))

    def drop(self, recipient: Recipient) -> None:
        """Remove a recipient that another entry already covers."""
        if self.left.pop(recipient, None) is not None:
            self.changed = True

    def rename(self, before: Recipient, after: Recipient) -> None:
        """Replace a recipient with the same one with another NOTIFY."""
        pending = self.left.pop(before, None)
        if pending is not None:
            self.left[after] = replace(pending, recipient=after)
            self.changed = True

    def settle(self, outcome: Outcome) -> None:
        """Note what became of one recipient."""
        recipient = outcome.recipient
        pending = self.left.get(recipient)
        if pending is None:
            return
        self.changed = True
        if outcome.status is Status.DEFERRED:
            self._defer(pending, outcome)
        elif outcome.status is Status.FAILED:
            self._fail(Notice("failed", recipient, outcome.reply, _who_said(outcome)))
        else:
            del self.left[recipient]
            action = _SUCCESS.get(outcome.status)
            if action and recipient.notify is not None and "SUCCESS" in recipient.notify:
                self._notices.append(Notice(action, recipient, outcome.reply, _who_said(outcome)))

    def put_off(self, recipients: Iterable[Recipient], reply: Reply = LOCAL_ERROR) -> None:
        """Defer recipients that have not been tried."""
        for recipient in recipients:
            pending = self.left.get(recipient)
            if pending is not None:
                self.changed = True
                self._defer(pending, Outcome(recipient, Status.DEFERRED, reply), tried=0)

    def postpone(self, recipient: Recipient, due: float) -> None:
        """Do not try the recipient until then. This counts as no attempt and reports nothing."""
        self.left[recipient] = replace(self.left[recipient], due=due)
        self.changed = True

    def unreported(self, notice: Notice, left: dict[Recipient, Pending]) -> None:
        """Keep a recipient whose failure could not be reported, so that it is tried again later.

        `left` is the value that `take` gave; it is changed, too.
        """
        recipient, context = notice.recipient, self._context
        if notice.action == "failed":
            due = context.now() + retry.wait(context.times, 1, context.chance())
            pending = Pending(recipient, due, 1, LOCAL_ERROR)
        elif notice.action == "delayed" and recipient in left:
            pending = replace(left[recipient], warned=False)
        else:
            return
        left[recipient] = self.left[recipient] = pending

    def _defer(self, pending: Pending, outcome: Outcome, tried: int = 1) -> None:
        context, created = self._context, self._entry.created
        now = context.now()
        notice = Notice("failed", pending.recipient, outcome.reply, _who_said(outcome), "4.4.7")
        if retry.is_over(context.times, now, created):
            self._fail(notice)
            return
        attempts = pending.attempts + tried
        if self._chance is None:
            self._chance = context.chance()  # one for all, so that they are tried together again
        due = retry.next_attempt(
            context.times, now, created, max(1, attempts), outcome.retry_after, self._chance
        )
        late = retry.is_late(context.times, now, created, pending)
        if late:
            self._notices.append(replace(notice, action="delayed", status=None))
        self.left[pending.recipient] = Pending(
            pending.recipient,
            due,
            attempts,
            outcome.reply,
            _who_said(outcome),
            pending.warned or late,
        )
        self._tell(Verdict.DEFERRED, pending.recipient, outcome.reply, due=due, attempts=attempts)

    def _fail(self, notice: Notice) -> None:
        del self.left[notice.recipient]
        self._notices.append(notice)
        self._tell(Verdict.FAILED, notice.recipient, notice.reply)

    def _tell(
        self,
        verdict: Verdict,
        recipient: Recipient,
        reply: Reply,
        due: float = 0.0,
        attempts: int = 0,
    ) -> None:
        self._context.hooks.tell(
            Stage.QUEUE,
            verdict,
            id=self._entry.id,
            recipient=str(recipient.address),
            reply=str(reply),
            due=due,
            attempts=attempts,
        )


def _who_said(outcome: Outcome) -> str:
    """The host that said this, "" if we did (RFC 3464 sections 2.3.5, 2.3.6)."""
    return "" if outcome.ours else outcome.remote

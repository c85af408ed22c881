"""Adds messages to the queue. All come in here: those of sessions, and those of the host itself.

If there is room for a message when it comes in, it is leased from the start and tried at once,
without a claim.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ..eventual import Eventual, at_once, is_later, settled
from ..interfaces import IDraft, IQueueStore
from ..message import Entry, Envelope
from ..message.vocabulary import Stage, Verdict

if TYPE_CHECKING:
    from ..hooks import Hooks


class Submission:
    """Has `commit` for callers that write a draft themselves, and `submit` for a whole message.

    `lease()` is the end of the lease that a message may have from the start, in seconds since the
    epoch, or None if there is no room for it now. `hand_over(entry, claimed)` is called after every
    commit. `now()` is in seconds since the epoch.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        hooks: Hooks,
        store: IQueueStore,
        now: Callable[[], float],
        lease: Callable[[], float | None],
        hand_over: Callable[[Entry, bool], None],
    ) -> None:
        self._hooks = hooks
        self._store = store
        self._now = now
        self._lease = lease
        self._hand_over = hand_over

    def commit(self, draft: IDraft, envelope: Envelope, headers: bytes) -> Eventual[Entry]:
        """Make a draft durable, then let it be tried. Fails like IDraft.commit."""
        lease = None if envelope.held else self._lease()
        claimed = lease is not None
        entry = at_once(draft.commit(envelope, headers, lease))
        if is_later(entry):
            return entry.addCallback(self._committed, claimed)
        return self._committed(entry, claimed)

    def _committed(self, entry: Entry, claimed: bool) -> Entry:
        try:
            self._hand_over(entry, claimed)
        except Exception:  # noqa: BLE001
            # It is durable, so the client must not send it again. A claim will find it.
            self._log.failure("{id}: could not be handed to the scheduler", id=entry.id)
        return entry

    def submit(self, envelope: Envelope, octets: bytes) -> str | Deferred[str]:
        """Queue a message of this host's own. Gives its id once it survives a power cut.

        `octets` are the whole message, with lines that end with CRLF. `envelope.received` 0 means
        now. The message is delivered even if nobody waits for the result. Raises or fails with
        OSError if the store cannot take it (`errno.ENOSPC` or `EDQUOT` for a full disk); then
        nothing remains. ValueError for an envelope without recipients.
        """
        return at_once(self._submit(envelope, octets))

    async def _submit(self, envelope: Envelope, octets: bytes) -> str:
        if not envelope.received:
            envelope = replace(envelope, received=self._now())
        draft = self._store.begin(envelope)
        try:
            await settled(draft.write(octets))
            await settled(self.commit(draft, envelope, b""))
        finally:
            draft.abort()
        self._hooks.tell(
            Stage.QUEUE,
            Verdict.ACCEPTED,
            id=envelope.id,
            sender="<>" if envelope.sender is None else str(envelope.sender),
            recipients=[str(recipient.address) for recipient in envelope.recipients],
            size=len(octets),
        )
        return envelope.id

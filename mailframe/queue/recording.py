"""Reports and records the results of an attempt, and tries again until that succeeds."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from ..eventual import at_once, is_later, settled
from ..interfaces import LeaseLost
from ..message import Entry
from ..message.vocabulary import Stage, Verdict
from .context import Context
from .progress import Progress
from .waits import Waits

RECORD_AGAIN = 10.0  # seconds until the next try, if the store cannot record
FEW = 50  # up to so many waiting recipients, each outcome is recorded at once
LONGEST_PAUSE = 1.0  # seconds that an outcome waits to be recorded together with others


class RecordingState(Enum):
    """What may still be done with the message."""

    OURS = "it is leased to us"
    SAVING = "it is leased to us, and what is known by now is being recorded"
    ENDING = "what is known is being recorded, and the lease given back"
    LOST = "it is somebody else's: nothing is recorded any more"


class Recording:
    """Writes the progress of one message into the store, after its reports."""

    _log = Logger()

    def __init__(self, context: Context, entry: Entry, progress: Progress, waits: Waits) -> None:
        self._context = context
        self._entry = entry
        self._progress = progress
        self._waits = waits
        self._state = RecordingState.OURS

    @property
    def is_lost(self) -> bool:
        """True if another owner has the message now."""
        return self._state is RecordingState.LOST

    def lose(self) -> None:
        """The lease could not be renewed. It was lost, unless it is just being given back."""
        if self._state in (RecordingState.OURS, RecordingState.SAVING):
            self._lost()

    def _lost(self) -> None:
        self._state = RecordingState.LOST
        self._log.warn("{id}: no longer ours, it may be delivered twice", id=self._entry.id)
        self._context.hooks.tell(Stage.QUEUE, Verdict.LEASE_LOST, id=self._entry.id)
        self._waits.end()

    async def save(self) -> None:
        """Record what has changed, and keep the lease. A save that is running does it, if any."""
        if self._state is not RecordingState.OURS:
            return
        self._state = RecordingState.SAVING
        while self._progress.changed and self._state is RecordingState.SAVING:
            await self._record(release=False)
            if len(self._progress.left) > FEW and not await self._pause():
                break
        if self._state is RecordingState.SAVING:
            self._state = RecordingState.OURS

    async def _pause(self) -> bool:
        """Wait for more outcomes, because each record writes all recipients that wait.

        Otherwise some hundred recipients at as many hosts would be written hundreds of times. False
        if the attempt must end.
        """
        try:
            await self._waits.sleep(min(LONGEST_PAUSE, len(self._progress.left) / 1000))
        except CancelledError:
            return False
        return True

    async def finish(self) -> None:
        """Record what has changed, and give the lease back."""
        if self._state is RecordingState.LOST:
            return
        self._state = RecordingState.ENDING
        if self._progress.changed:
            await self._record(release=True)
        else:
            await self._until_stored(lambda: self._context.store.release([self._entry.id]))

    async def _record(self, release: bool) -> None:
        id, context, progress = self._entry.id, self._context, self._progress
        notices, left = progress.take()
        if notices:
            if not await self._is_ours():
                self._lost()
                return
            for missed in await context.reports.send(self._entry, notices):
                progress.unreported(missed, left)
        waiting = tuple(left.values())
        await self._until_stored(lambda: context.store.record(id, waiting, release))
        if not left and self._state is not RecordingState.LOST:
            context.hooks.tell(Stage.QUEUE, Verdict.FINISHED, id=id)

    async def _is_ours(self) -> bool:
        """False if the lease was lost. Its new owner may yet deliver what we would report."""
        context, id = self._context, self._entry.id
        try:
            until = context.now() + context.times.lease
            return id in await settled(context.store.renew([id], until))
        except Exception:  # noqa: BLE001
            context.repeated.failure("{id}: its lease could not be renewed", id=id)
            return True

    async def _until_stored(self, store: Callable[[], Any]) -> None:
        """Try until it succeeds. If the attempt is cut off, it is tried once more."""
        is_last = False
        while self._state is not RecordingState.LOST:
            try:
                done = at_once(store())
                if is_later(done):
                    await done
                return
            except LeaseLost:
                self._lost()
                return
            except Exception:  # noqa: BLE001
                self._context.repeated.failure(
                    "{id}: the store cannot record its outcome, trying again", id=self._entry.id
                )
            if is_last:
                return
            try:
                await self._waits.sleep(RECORD_AGAIN)
            except CancelledError:
                is_last = True

"""A message that comes in: in memory while it is small, in a file once it is large.

All drafts together may hold a limited number of octets in memory; beyond that they become files
sooner.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol
from zlib import crc32

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..eventual import Eventual, at_once, is_later, settled
from ..interfaces import IDraft
from ..message import Content, Entry, Envelope
from .bodies import Bodies
from .draft_file import DraftFile

_PIECE = 1 << 20  # octets that gather before they are written to the file


class Budget:
    """Counts the octets that all drafts hold in memory; beyond the limit, drafts become files.

    In a store without files, drafts beyond the limit fail with ENOSPC.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def take(self, octets: int) -> None:
        """Count more octets, or fewer."""
        self.used += octets

    @property
    def is_spent(self) -> bool:
        """True if drafts should become files now."""
        return self.used > self.limit


class DraftBody(NamedTuple):
    """What became of a draft: its octets, or None for a file, with size and CRC-32."""

    octets: bytes | None
    size: int
    check: int


class Spill(NamedTuple):
    """Where the octets of large drafts go: files of `bodies`, for more than `inline` octets.

    `in_thread` runs blocking work. `under_way(work)` is told of work that the store's close() must
    wait for.
    """

    bodies: Bodies
    inline: int
    in_thread: Callable[..., Deferred[Any]]
    under_way: Callable[[Deferred[Any]], Deferred[Any]]


class Keeper(Protocol):
    """What a draft needs of its store. Without `spill`, drafts stay in memory, within `budget`."""

    @property
    def budget(self) -> Budget:
        """The limit for all of its drafts in memory."""

    @property
    def spill(self) -> Spill | None:
        """Where large drafts go."""

    def keep(
        self, envelope: Envelope, headers: bytes, body: DraftBody, lease: float | None
    ) -> Eventual[Entry]:
        """Make the message durable, leased until `lease`, or not leased if that is None."""


@implementer(IDraft)
class Draft:
    """See IDraft. Writes to the file are made in a thread, one at a time."""

    _log = Logger()

    def __init__(self, keeper: Keeper, envelope: Envelope) -> None:
        self._keeper = keeper
        self._budget = keeper.budget
        self._spill = keeper.spill
        self._id = envelope.id
        self._parts: list[bytes] = []
        self._held = 0  # octets in _parts
        self._counted = 0  # octets of this draft in the budget
        self._size = 0
        self._file: DraftFile | None = None
        self._writing: Deferred[None] | None = None
        self._done = False
        self._failed: OSError | None = None

    def write(self, octets: bytes) -> Deferred[None] | None:
        """See IDraft."""
        self._check_open()
        budget = self._budget
        if self._spill is None and budget.used + len(octets) > budget.limit:
            raise OSError(errno.ENOSPC, f"the queue holds {budget.used} octets in memory already")
        self._count(len(octets))
        self._parts.append(octets)
        self._size += len(octets)
        self._held += len(octets)
        spill = self._spill
        if spill is None:
            return None
        if self._writing is not None:
            return self._after_writing()
        if self._file is None:
            if self._size <= spill.inline and not self._budget.is_spent:
                return None
            self._file = DraftFile(spill.bodies, self._id)
        elif self._held < _PIECE and not self._budget.is_spent:
            return None
        octets_held = self._held
        self._writing = spill.in_thread(self._file.write, self._taken())
        self._writing.addBoth(self._written, octets_held)
        return self._after_writing()

    def content(self) -> Content:
        """See IDraft."""
        self._check_open()
        if self._writing is not None:
            raise RuntimeError("the last write is not done yet")
        if self._file is None:
            self._parts = [b"".join(self._parts)]
            return Content(b"", self._parts[0], self._size)
        # Fewer octets than a piece: no thread is needed.
        self._count(-self._held)
        self._file.write(self._taken())
        return Content(b"", self._file.opener(), self._size)

    def commit(
        self, envelope: Envelope, headers: bytes, lease: float | None = None
    ) -> Entry | Deferred[Entry]:
        """See IDraft."""
        self._check_open()
        if envelope.id != self._id:
            raise ValueError(f"the draft is that of message {self._id}, not {envelope.id}")
        if not envelope.recipients:
            raise ValueError(f"message {self._id} has no recipients")
        self._done = True
        if self._file is not None and self._spill is not None:
            kept = self._commit_file(self._spill, self._file, envelope, headers, lease)
            committed = Deferred.fromCoroutine(kept)
            return self._spill.under_way(committed.addBoth(self._settled))
        octets = b"".join(self._parts)
        self._parts.clear()
        body = DraftBody(octets, self._size, crc32(octets))
        try:
            entry = at_once(self._keeper.keep(envelope, headers, body, lease))
        except BaseException:
            self._settled(None)
            raise
        if is_later(entry):
            return entry.addBoth(self._settled)
        self._settled(None)
        return entry

    async def _commit_file(
        self, spill: Spill, file: DraftFile, envelope: Envelope, headers: bytes, lease: float | None
    ) -> Entry:
        try:
            if self._writing is not None:
                await self._after_writing()
            await spill.in_thread(file.finish, self._taken())
            body = DraftBody(None, self._size, file.check)
            return await settled(self._keeper.keep(envelope, headers, body, lease))
        except BaseException:
            await spill.in_thread(file.remove)
            raise

    def abort(self) -> None:
        """See IDraft."""
        if self._done:
            return
        self._done = True
        self._settled(None)
        self._parts.clear()
        if self._writing is not None:
            self._after_writing().addErrback(lambda _: None).addCallback(self._discard)
        else:
            self._discard(None)

    def _discard(self, _: object) -> None:
        if self._file is None or self._spill is None:
            return
        discarded = self._spill.in_thread(self._file.remove)
        self._spill.under_way(discarded).addErrback(
            lambda failure: self._log.failure(
                "{id}: its draft stays until the next start", failure=failure, id=self._id
            )
        )

    def _check_open(self) -> None:
        if self._failed is not None:
            raise self._failed
        if self._done:
            raise OSError(errno.EBADF, f"the draft of {self._id} is committed or aborted")

    def _count(self, octets: int) -> None:
        self._budget.take(octets)
        self._counted += octets

    def _settled(self, result: Any) -> Any:
        """Nothing of it is in memory any more."""
        self._count(-self._counted)
        return result

    def _taken(self) -> list[bytes]:
        parts, self._parts = self._parts, []
        self._held = 0
        return parts

    def _written(self, result: object, octets: int) -> None:
        self._writing = None
        self._count(-min(octets, self._counted))
        if isinstance(result, Failure):
            if isinstance(result.value, OSError):
                self._failed = result.value
            else:
                self._log.failure("{id}: cannot be written", failure=result, id=self._id)
                self._failed = OSError(errno.EIO, f"the draft of {self._id} cannot be written")

    def _after_writing(self) -> Deferred[None]:
        """Fires once what is being written has been written; fails if that fails."""
        waiting: Deferred[None] = Deferred()
        writing = self._writing

        def fire(result: object) -> object:
            if self._failed is not None:
                waiting.errback(self._failed)
            else:
                waiting.callback(None)
            return result

        if writing is None:
            fire(None)
        else:
            writing.addBoth(fire)
        return waiting

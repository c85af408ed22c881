"""A message on its way in: in memory while it is small, a file of its own once it is not.

All drafts together hold a bounded number of octets in memory; beyond that they become files
sooner.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol, TypeVar
from zlib import crc32

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mailframe.interfaces import IDraft
from mailframe.message import Content, Entry, Envelope

from .bodies import Bodies

T = TypeVar("T")

_PIECE = 1 << 20  # octets that gather before they are written to the file


class Budget:
    """Octets that all drafts hold in memory, and how many they may."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0


class Body:
    """What a draft has become: octets, or None for a file, with size and CRC-32."""

    def __init__(self, octets: bytes | None, size: int, check: int) -> None:
        self.octets = octets
        self.size = size
        self.check = check


class Keeper(Protocol):
    """What a draft needs of its store."""

    bodies: Bodies
    budget: Budget
    inline: int
    in_thread: Callable[..., Deferred[Any]]

    def keep(
        self, envelope: Envelope, headers: bytes, body: Body, lease: float | None
    ) -> Deferred[Entry]:
        """Make it durable, leased until then or not at all."""

    def under_way(self, work: Deferred[T]) -> Deferred[T]:
        """The same; closing the store waits for it."""


@implementer(IDraft)
class Draft:
    """See IDraft. Writes to the file are made in a thread, one at a time."""

    _log = Logger()

    def __init__(self, keeper: Keeper, envelope: Envelope) -> None:
        self._keeper = keeper
        self._id = envelope.id
        self._parts: list[bytes] = []
        self._held = 0  # octets in _parts
        self._counted = 0  # octets of ours in the budget
        self._size = 0
        self._check = 0  # of what is in the file
        self._file: int | None = None
        self._is_file = False
        self._created = False
        self._writing: Deferred[None] | None = None
        self._done = False
        self._failed: OSError | None = None

    def write(self, octets: bytes) -> Deferred[None] | None:
        """See IDraft."""
        self._check_open()
        self._parts.append(octets)
        self._size += len(octets)
        self._held += len(octets)
        self._count(len(octets))
        if self._writing is not None:
            return self._after_writing()
        budget = self._keeper.budget
        if not self._is_file:
            if self._size <= self._keeper.inline and budget.used <= budget.limit:
                return None
        elif self._held < _PIECE and budget.used <= budget.limit:
            return None
        self._write_out()
        return self._after_writing()

    def content(self) -> Content:
        """See IDraft."""
        self._check_open()
        if self._writing is not None:
            raise RuntimeError("the last write is not done yet")
        if not self._is_file:
            self._parts = [b"".join(self._parts)]
            return Content(b"", self._parts[0], self._size)
        # Fewer octets than a piece: no wait that would need a thread.
        self._count(-self._held)
        self._into_file(self._taken())
        path = self._keeper.bodies.path(self._id)

        def open_file() -> BinaryIO:
            return path.open("rb")

        return Content(b"", open_file, self._size)

    def commit(
        self, envelope: Envelope, headers: bytes, lease: float | None = None
    ) -> Deferred[Entry]:
        """See IDraft."""
        self._check_open()
        if envelope.id != self._id:
            raise ValueError(f"the draft is that of message {self._id}, not {envelope.id}")
        if not envelope.recipients:
            raise ValueError(f"message {self._id} has no recipients")
        self._done = True
        if not self._is_file:
            octets = b"".join(self._parts)
            self._parts.clear()
            body = Body(octets, self._size, crc32(octets))
            return self._keeper.keep(envelope, headers, body, lease).addBoth(self._settled)
        committed = Deferred.fromCoroutine(self._commit_file(envelope, headers, lease))
        return self._keeper.under_way(committed.addBoth(self._settled))

    async def _commit_file(self, envelope: Envelope, headers: bytes, lease: float | None) -> Entry:
        try:
            if self._writing is not None:
                await self._after_writing()
            await self._keeper.in_thread(self._finish_file, self._taken())
            body = Body(None, self._size, self._check)
            return await self._keeper.keep(envelope, headers, body, lease)
        except BaseException:
            await self._keeper.in_thread(self._remove_file)
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
        elif self._is_file:
            self._discard(None)

    def _discard(self, _: object) -> None:
        discarded = self._keeper.in_thread(self._remove_file)
        self._keeper.under_way(discarded).addErrback(
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
        self._counted += octets
        self._keeper.budget.used += octets

    def _settled(self, result: Any) -> Any:
        """Nothing of it is in memory any more."""
        self._count(-self._counted)
        return result

    def _taken(self) -> list[bytes]:
        parts, self._parts = self._parts, []
        self._held = 0
        return parts

    def _write_out(self) -> None:
        self._is_file = True
        parts, octets = self._parts, self._held
        self._taken()
        self._writing = self._keeper.in_thread(self._into_file, parts)
        self._writing.addBoth(self._written, octets)

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
        """Fires once what is being written is; fails where it could not."""
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

    # Below: in a thread.

    def _into_file(self, parts: list[bytes]) -> None:
        if self._file is None:
            self._file = self._keeper.bodies.create(self._id)
            self._created = True
        for part in parts:
            self._check = crc32(part, self._check)
            rest = memoryview(part)
            while rest:
                rest = rest[os.write(self._file, rest) :]

    def _finish_file(self, parts: list[bytes]) -> None:
        try:
            self._into_file(parts)
            assert self._file is not None
            self._keeper.bodies.sync(self._file)
        finally:
            self._close_file()

    def _remove_file(self) -> None:
        self._close_file()
        if self._created:
            self._keeper.bodies.remove(self._id)

    def _close_file(self) -> None:
        descriptor, self._file = self._file, None
        if descriptor is not None:
            os.close(descriptor)

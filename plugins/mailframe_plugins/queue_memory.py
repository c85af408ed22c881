"""[queue] plugin = "memory"

Keeps accepted messages in memory, for tests and demonstrations ONLY: a restart LOSES every message
that waits, although its client was told 250. It says so in the log when it starts.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from twisted.application import service
from twisted.logger import Logger
from zope.interface import implementer, implementer_only

from mailframe.interfaces import IQueueStore, IShardedStore, LeaseLost
from mailframe.message import Content, Entry, Envelope, Message, Pending
from mailframe.plugin import Plugin, Site, Size, setting
from mailframe.spool.draft import Budget, Draft, DraftBody
from mailframe.spool.search import concerns, due_at, sought

_VERBS = ("hold", "release", "retry", "delete")


@dataclass(frozen=True)
class Settings:
    """The settings."""

    size: Size = setting(
        "octets that all messages together may take; more: 452 4.3.1", Size(256 << 20)
    )


@dataclass
class _Kept:
    """A message, its lease's owner and end (or None), and a retry asked for while it was leased.

    After the end of the lease the owner stays the same until somebody else claims the message.
    """

    entry: Entry
    owner: object = None
    until: float | None = None
    retry: float | None = None

    @property
    def due(self) -> float:
        return min(each.due for each in self.entry.pending)

    def seen(self) -> Entry:
        return replace(self.entry, leased=self.until is not None)

    def free(self) -> None:
        self.owner = self.until = self.retry = None


class Memory(Budget):
    """The messages of one queue, for all the stores that share it, and their watchers.

    Its budget is for the waiting messages and all drafts together.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.kept: dict[str, _Kept] = {}
        self.watching: list[tuple[object, Callable[[], None]]] = []


@implementer(IShardedStore)
class MemoryQueue(service.Service):
    """See IQueueStore; but nothing is durable. Each worker has its own."""

    _log = Logger()
    spill = None

    def __init__(self, settings: Settings, site: Site, memory: Memory | None = None) -> None:
        self.name = site.name or "queue"
        self._worker = site.worker
        self._memory = memory or Memory(settings.size)
        self._kept = self._memory.kept
        self.budget = self._memory
        self._closed = False

    @property
    def used(self) -> int:
        """Octets of all messages and drafts."""
        return self._memory.used

    def shards(self) -> Sequence[int]:
        """See IShardedStore. The messages of other workers are in their memory."""
        return [self._worker]

    def startService(self) -> None:
        """Start, with a warning in the log."""
        super().startService()  # type: ignore[no-untyped-call]
        self._log.warn("the queue is in memory only: a restart loses every message that waits")

    def begin(self, envelope: Envelope) -> Draft:
        """See IQueueStore."""
        if self._closed:
            raise OSError(errno.ESHUTDOWN, "the queue is closed")
        memory = self._memory
        if memory.used + (envelope.size or 0) >= memory.limit:
            raise OSError(errno.ENOSPC, f"the queue holds {memory.used} octets already")
        return Draft(self, envelope)

    def keep(
        self, envelope: Envelope, headers: bytes, body: DraftBody, lease: float | None
    ) -> Entry:
        """A draft's commit; nothing is durable here."""
        octets = body.octets or b""
        entry = self.add(Message(envelope.id, envelope, Content(headers, octets, body.size)), lease)
        # The draft had space for it, and gives that back now.
        self._memory.used += body.size
        return entry

    def add(self, message: Message, lease: float | None) -> Entry:
        """Add a message."""
        if message.id in self._kept:
            raise OSError(errno.EEXIST, f"there is a message {message.id} already")
        created = message.envelope.received
        pending = tuple(Pending(recipient, created) for recipient in message.envelope.recipients)
        kept = _Kept(Entry(message, pending, created, hold=bool(message.envelope.held)))
        self._kept[message.id] = kept
        if lease is None:
            self._tell_others()
        else:
            kept.owner, kept.until = self, lease
        return kept.seen()

    def claim(
        self, now: float, limit: int, until: float, excluding: frozenset[str] = frozenset()
    ) -> Sequence[Entry]:
        """See IQueueStore."""

        def excluded(kept: _Kept) -> bool:
            return all(
                each.recipient.address.domain in excluding
                for each in kept.entry.pending
                if each.due <= now
            )

        for kept in self._kept.values():
            if kept.until is not None and kept.until <= now:
                kept.until = kept.retry = None
        free = [kept for kept in self._free() if kept.due <= now and not excluded(kept)]
        claimed = sorted(free, key=lambda kept: kept.due)[:limit]
        for kept in claimed:
            kept.owner, kept.until = self, until
        return [kept.seen() for kept in claimed]

    def _free(self) -> Iterator[_Kept]:
        return (kept for kept in self._kept.values() if kept.until is None and not kept.entry.hold)

    def renew(self, ids: Sequence[str], until: float) -> frozenset[str]:
        """See IQueueStore."""
        ours = self._ours(ids)
        for kept in ours:
            kept.until = until
        return frozenset(kept.entry.id for kept in ours)

    def _ours(self, ids: Sequence[str]) -> list[_Kept]:
        return [kept for id in ids if (kept := self._kept.get(id)) and kept.owner is self]

    def record(self, id: str, pending: Sequence[Pending], release: bool = True) -> None:
        """See IQueueStore."""
        kept = self._kept.get(id)
        if kept is None:
            return
        if kept.owner is not self:
            raise LeaseLost(id)
        if not pending:
            self._remove(id)
            return
        if kept.retry is not None:
            pending = due_at(pending, kept.retry)
        kept.entry = replace(kept.entry, pending=tuple(pending))
        if release:
            kept.free()
            self._tell_others()

    def _remove(self, id: str) -> None:
        self._memory.used -= self._kept.pop(id).entry.message.content.body_size

    def release(self, ids: Sequence[str]) -> None:
        """See IQueueStore."""
        ours = self._ours(ids)
        for kept in ours:
            kept.free()
        if ours:
            self._tell_others()

    def watch(self, call: Callable[[], None]) -> None:
        """See IQueueStore. If it does not share its memory, nothing else changes it."""
        self._memory.watching.append((self, call))

    def _tell_others(self) -> None:
        for store, call in list(self._memory.watching):
            if store is not self:
                call()

    def next_due(self) -> float | None:
        """See IQueueStore."""
        times = [kept.due for kept in self._free()]
        times += [kept.until for kept in self._kept.values() if kept.until is not None]
        return min(times, default=None)

    def find(
        self,
        after: str = "",
        limit: int = 100,
        address: str = "",
        hold: bool | None = None,
        due_after: float | None = None,
    ) -> Sequence[Entry]:
        """See IQueueStore."""
        wanted = sought(address)
        ids = sorted(id for id in self._kept if id > after)
        entries = (self._kept[id].seen() for id in ids)
        found = (
            entry
            for entry in entries
            if (hold is None or entry.hold is hold) and concerns(entry, wanted)
            if due_after is None or all(each.due > due_after for each in entry.pending)
        )
        return [entry for entry, _ in zip(found, range(limit), strict=False)]

    def get(self, id: str) -> Entry | None:
        """See IQueueStore."""
        kept = self._kept.get(id)
        return kept.seen() if kept else None

    def counts(self) -> dict[str, int]:
        """See IQueueStore."""
        kept = self._kept.values()
        return {
            "messages": len(kept),
            "recipients": sum(len(each.entry.pending) for each in kept),
            "held": sum(each.entry.hold for each in kept),
            "leased": sum(each.until is not None for each in kept),
            "corrupt": 0,
        }

    def change(self, ids: Sequence[str], verb: str, now: float) -> Sequence[str]:
        """See IQueueStore."""
        if verb not in _VERBS:
            raise ValueError(f"{verb!r} is none of {', '.join(_VERBS)}")
        done = [id for id in dict.fromkeys(ids) if id in self._kept and self._do(id, verb, now)]
        if done:
            self._tell_others()
        return done

    def _do(self, id: str, verb: str, now: float) -> bool:
        kept = self._kept[id]
        if verb == "delete":
            if kept.until is not None:
                return False
            self._remove(id)
        elif verb == "retry":
            kept.entry = replace(kept.entry, pending=tuple(due_at(kept.entry.pending, now)))
            kept.retry = now if kept.until is not None else None
        elif kept.entry.hold is (verb == "hold"):
            return False
        else:
            kept.entry = replace(kept.entry, hold=verb == "hold")
        return True

    def corrupt(self) -> Sequence[str]:
        """See IQueueStore. Nothing is ever damaged here."""
        return []

    def close(self) -> None:
        """See IQueueStore. Messages that wait are lost with the process."""
        self._closed = True
        self._memory.watching[:] = [each for each in self._memory.watching if each[0] is not self]
        self.release([id for id, kept in self._kept.items() if kept.owner is self])
        if self._kept:
            self._log.warn("{messages} messages are lost", messages=len(self._kept))


@implementer_only(IQueueStore)
class SharedMemoryQueue(MemoryQueue):
    """One of several stores over one Memory: for tests, like a database that several hosts use.

    Each store is a separate owner.
    """

    def __init__(self, settings: Settings, site: Site, memory: Memory) -> None:
        super().__init__(settings, site, memory)


def _build(settings: Any, site: Site) -> MemoryQueue:
    return MemoryQueue(settings, site)


plugin = Plugin("memory", IQueueStore, Settings, _build)

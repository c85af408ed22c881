"""[queue] plugin = "memory"

Accepted messages in memory, for tests and demonstrations ONLY: a restart LOSES every message
that waits, although its client was told 250. It says so in the log when it starts.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from twisted.application import service
from twisted.logger import Logger
from zope.interface import implementer, implementer_only

from mailframe.interfaces import IDraft, IQueueStore, IShardedStore, LeaseLost
from mailframe.message import Content, Entry, Envelope, Message, Pending
from mailframe.plugin import Plugin, Site, Size, setting
from mailframe.smtp.address import Mailbox

_VERBS = ("hold", "release", "retry", "delete")


@dataclass(frozen=True)
class Settings:
    """What can be set."""

    size: Size = setting("octets of all messages together; more: 452 4.3.1", Size(256 << 20))


@implementer(IDraft)
class Draft:
    """See IDraft."""

    def __init__(self, store: MemoryQueue, envelope: Envelope) -> None:
        self._store = store
        self._id = envelope.id
        self._parts: list[bytes] = []
        self._size = 0
        self._open = True

    def write(self, octets: bytes) -> None:
        """See IDraft."""
        self._check_open()
        self._store.take(len(octets))
        self._size += len(octets)
        self._parts.append(octets)

    def content(self) -> Content:
        """See IDraft."""
        self._check_open()
        self._parts = [b"".join(self._parts)]
        return Content(b"", self._parts[0], self._size)

    def commit(self, envelope: Envelope, headers: bytes, lease: float | None = None) -> Entry:
        """See IDraft; nothing is durable here."""
        content = replace(self.content(), prefix=headers)
        if envelope.id != self._id:
            raise ValueError(f"the draft is that of message {self._id}, not {envelope.id}")
        if not envelope.recipients:
            raise ValueError(f"message {self._id} has no recipients")
        entry = self._store.add(Message(envelope.id, envelope, content), lease)
        self._open = False
        return entry

    def abort(self) -> None:
        """See IDraft."""
        if self._open:
            self._open = False
            self._parts.clear()
            self._store.take(-self._size)

    def _check_open(self) -> None:
        if not self._open:
            raise OSError(errno.EBADF, f"the draft of {self._id} is committed or aborted")


@dataclass
class _Kept:
    """A message, its lease's owner and end or None, and a retry asked for while it was leased.

    The owner stays when the lease has ended, until somebody else claims the message.
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


@dataclass
class Memory:
    """The messages of one queue, for all the stores that share it, and who watches them."""

    limit: int  # octets
    used: int = 0  # octets
    kept: dict[str, _Kept] = field(default_factory=dict)
    watching: list[tuple[object, Callable[[], None]]] = field(default_factory=list)


@implementer(IShardedStore)
class MemoryQueue(service.Service):
    """See IQueueStore, but for durability: there is none. Each worker has one of its own."""

    _log = Logger()

    def __init__(self, settings: Settings, site: Site, memory: Memory | None = None) -> None:
        self.name = site.name or "queue"
        self._worker = site.worker
        self._memory = memory or Memory(settings.size)
        self._kept = self._memory.kept
        self._closed = False

    @property
    def used(self) -> int:
        """Octets of all messages and drafts."""
        return self._memory.used

    def shards(self) -> Sequence[int]:
        """See IShardedStore: what other workers have is in their memory."""
        return [self._worker]

    def startService(self) -> None:
        """Begin, with a warning."""
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

    def take(self, octets: int) -> None:
        """Count octets that a draft adds, or gives back. OSError where there is no room."""
        memory = self._memory
        if octets > 0 and memory.used + octets > memory.limit:
            raise OSError(errno.ENOSPC, f"the queue holds {memory.used} octets already")
        memory.used += octets

    def add(self, message: Message, lease: float | None) -> Entry:
        """A draft's commit."""
        if message.id in self._kept:
            raise OSError(errno.EEXIST, f"there is a message {message.id} already")
        created = message.envelope.received
        pending = tuple(Pending(recipient, created) for recipient in message.envelope.recipients)
        kept = _Kept(Entry(message, pending, created))
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
            pending = _due_at(pending, kept.retry)
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
        """See IQueueStore; with a memory of its own nobody else changes anything."""
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
        ids = sorted(id for id in self._kept if id > after)
        entries = (self._kept[id].seen() for id in ids)
        found = (
            entry
            for entry in entries
            if (hold is None or entry.hold is hold) and _concerns(entry, address.lower())
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
            kept.entry = replace(kept.entry, pending=_due_at(kept.entry.pending, now))
            kept.retry = now if kept.until is not None else None
        elif kept.entry.hold is (verb == "hold"):
            return False
        else:
            kept.entry = replace(kept.entry, hold=verb == "hold")
        return True

    def corrupt(self) -> Sequence[str]:
        """See IQueueStore; nothing is ever damaged here."""
        return []

    def close(self) -> None:
        """See IQueueStore; what waits is lost with the process."""
        self._closed = True
        self._memory.watching[:] = [each for each in self._memory.watching if each[0] is not self]
        self.release([id for id, kept in self._kept.items() if kept.owner is self])
        if self._kept:
            self._log.warn("{messages} messages are lost", messages=len(self._kept))


@implementer_only(IQueueStore)
class SharedMemoryQueue(MemoryQueue):
    """One of several stores over one Memory: a database of several hosts in miniature, for tests.

    Each is an owner of its own.
    """

    def __init__(self, settings: Settings, site: Site, memory: Memory) -> None:
        super().__init__(settings, site, memory)


def _due_at(pending: Iterable[Pending], when: float) -> tuple[Pending, ...]:
    return tuple(replace(each, due=when) for each in pending)


def _concerns(entry: Entry, address: str) -> bool:
    if not address:
        return True
    named: list[Mailbox] = [] if (sender := entry.message.envelope.sender) is None else [sender]
    for each in entry.pending:
        named += [each.recipient.address, *each.recipient.came_from]
    texts = [str(each).lower() for each in named]
    if address.startswith("@"):
        return any(text.endswith(address) for text in texts)
    return address in texts


def _build(settings: Any, site: Site) -> MemoryQueue:
    return MemoryQueue(settings, site)


plugin = Plugin("memory", IQueueStore, Settings, _build)

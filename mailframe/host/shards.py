"""The queue of one worker: its own part, and the parts of workers that do not exist any more.

New mail goes only into the worker's own part. Mail in an adopted part is claimed, tried and removed
there; its attempts and times stay as they were. An adopted part that is empty is closed.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from ..config import Composition, Section, compose
from ..eventual import Eventual, settled
from ..interfaces import IDraft, IQueueStore, IShardedStore, LeaseLost
from ..message import Entry, Envelope, Pending
from ..plugin import Site


def whole_queue(
    own: IQueueStore,
    composition: Composition,
    site_for: Callable[[Section], Site],
    worker: int,
    workers: int,
) -> IQueueStore:
    """`own`, together with the parts without a worker that this `worker` adopts.

    Such parts are dealt out in turn: with 2 workers, part 5 goes to worker 1. Raises ConfigErrors.
    """
    if not IShardedStore.providedBy(own):
        return own
    orphans = [n for n in own.shards() if n >= workers and n % workers == worker]
    alone = tuple(section for section in composition.sections if section.stage == "queue")
    adopted: dict[int, IQueueStore] = {}
    for number in orphans:

        def site(section: Section, number: int = number) -> Site:
            return replace(site_for(section), worker=number)

        store = compose(replace(composition, sections=alone), site).store
        if store is not None:
            adopted[number] = store
    return Shards(own, adopted) if adopted else own


@implementer(IShardedStore)
class Shards(Service):
    """Several stores as one: `own`, and the `adopted` ones by the number of their former worker."""

    _log = Logger()

    def __init__(self, own: IShardedStore, adopted: Mapping[int, IQueueStore]) -> None:
        self.name = getattr(own, "name", None) or "queue"
        self._own = own
        self._adopted = dict(adopted)
        self._claimed: dict[str, IQueueStore] = {}  # what is leased, and in which adopted store

    @property
    def _all(self) -> tuple[IQueueStore, ...]:
        return self._own, *self._adopted.values()

    def startService(self) -> None:
        """Open all stores. OSError if one cannot be opened."""
        for store in self._all:
            if IService.providedBy(store):
                store.startService()
        for number in self._adopted:
            self._log.info("worker {number} is gone: its queue is worked off here", number=number)
        super().startService()

    def stopService(self) -> Deferred[None]:
        """Stop all stores, each in its own way."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        for store in self._all:
            if IService.providedBy(store):
                await settled(store.stopService())

    def shards(self) -> Sequence[int]:
        """See IShardedStore."""
        own: Sequence[int] = self._own.shards()
        return own

    def watch(self, call: Callable[[], None]) -> None:
        """See IQueueStore."""
        for store in self._all:
            store.watch(call)

    def begin(self, envelope: Envelope) -> IDraft:
        """See IQueueStore. New mail goes into the worker's own store."""
        return self._own.begin(envelope)

    async def claim(
        self, now: float, limit: int, until: float, excluding: frozenset[str] = frozenset()
    ) -> Sequence[Entry]:
        """See IQueueStore.

        Adopted mail gets up to half of the places, so that neither kind starves.
        """
        entries: list[Entry] = []
        for number, store in tuple(self._adopted.items()):
            room = max(1, limit // 2) - len(entries)
            found = await settled(store.claim(now, room, until, excluding)) if room > 0 else ()
            self._claimed.update((entry.id, store) for entry in found)
            entries += found
            if not found and room > 0:
                await self._close_if_empty(number, store)
        if len(entries) < limit:
            found = await settled(self._own.claim(now, limit - len(entries), until, excluding))
            entries += found
        return entries

    async def _close_if_empty(self, number: int, store: IQueueStore) -> None:
        if store in self._claimed.values() or await settled(store.next_due()) is not None:
            return
        counts = await settled(store.counts())
        # Messages that were set aside stay visible: `queue summary` names them.
        if counts.get("messages") or counts.get("corrupt") or number not in self._adopted:
            return
        del self._adopted[number]
        await settled(store.close())
        self._log.info("the queue of worker {number} is worked off", number=number)

    def renew(self, ids: Sequence[str], until: float) -> Eventual[frozenset[str]]:
        """See IQueueStore."""
        return self._renew(ids, until) if self._claimed else self._own.renew(ids, until)

    async def _renew(self, ids: Sequence[str], until: float) -> frozenset[str]:
        ours: frozenset[str] = frozenset()
        for store, some in self._by_store(ids):
            renewed = await settled(store.renew(some, until))
            ours |= renewed
        return ours

    def record(self, id: str, pending: Sequence[Pending], release: bool = True) -> Eventual[None]:
        """See IQueueStore."""
        store = self._claimed.get(id)
        if store is None:
            return self._own.record(id, pending, release)
        return self._record(store, id, pending, release)

    async def _record(
        self, store: IQueueStore, id: str, pending: Sequence[Pending], release: bool
    ) -> None:
        try:
            await settled(store.record(id, pending, release))
        except LeaseLost:
            self._claimed.pop(id, None)
            raise
        if release or not pending:
            self._claimed.pop(id, None)

    def release(self, ids: Sequence[str]) -> Eventual[None]:
        """See IQueueStore."""
        return self._release(ids) if self._claimed else self._own.release(ids)

    async def _release(self, ids: Sequence[str]) -> None:
        for store, some in self._by_store(ids):
            await settled(store.release(some))
            for id in some:
                self._claimed.pop(id, None)

    def _by_store(self, ids: Sequence[str]) -> Iterator[tuple[IQueueStore, list[str]]]:
        for store in self._all:
            some = [id for id in ids if self._claimed.get(id, self._own) is store]
            if some:
                yield store, some

    async def next_due(self) -> float | None:
        """See IQueueStore."""
        found = [await settled(store.next_due()) for store in self._all]
        return min((due for due in found if due is not None), default=None)

    async def find(
        self,
        after: str = "",
        limit: int = 100,
        address: str = "",
        hold: bool | None = None,
        due_after: float | None = None,
    ) -> Sequence[Entry]:
        """See IQueueStore."""
        pages = [
            await settled(store.find(after, limit, address, hold, due_after)) for store in self._all
        ]
        return list(heapq.merge(*pages, key=lambda entry: entry.id))[:limit]

    async def get(self, id: str) -> Entry | None:
        """See IQueueStore."""
        for store in self._all:
            entry: Entry | None = await settled(store.get(id))
            if entry is not None:
                return entry
        return None

    async def counts(self) -> dict[str, int]:
        """See IQueueStore."""
        total: Counter[str] = Counter()
        for store in self._all:
            counts = await settled(store.counts())
            total.update(counts)
        return dict(total)

    async def change(self, ids: Sequence[str], verb: str, now: float) -> Sequence[str]:
        """See IQueueStore."""
        changed: list[str] = []
        for store in self._all:
            some = await settled(store.change(ids, verb, now))
            changed += some
        return changed

    async def corrupt(self) -> Sequence[str]:
        """See IQueueStore."""
        return [line for store in self._all for line in await settled(store.corrupt())]

    async def close(self) -> None:
        """See IQueueStore."""
        for store in self._all:
            await settled(store.close())

"""The queue in memory keeps the contract of a store."""

from __future__ import annotations

import errno

import pytest
from twisted.trial.unittest import TestCase

from mailframe.interfaces import IShardedStore
from mailframe.testing.hooks import result_of
from mailframe.testing.queue_store import QueueStoreContract
from mailframe.testing.shared_queue_store import SharedStoreContract
from mailframe.testing.values import envelope, site
from mailframe_plugins.queue_memory import (
    Memory,
    MemoryQueue,
    Settings,
    SharedMemoryQueue,
    plugin,
)


class TestMemoryQueue(QueueStoreContract, TestCase):
    def make_store(self):
        return plugin.build(Settings(), site(now=self.now))


class TestSharedMemoryQueue(QueueStoreContract, TestCase):
    def make_store(self):
        return SharedMemoryQueue(Settings(), site(), Memory(1 << 30))


class TestMemoryOfTwoOwners(SharedStoreContract, TestCase):
    def make_stores(self):
        memory = Memory(1 << 30)
        return tuple(SharedMemoryQueue(Settings(), site(), memory) for _ in range(2))


def test_each_worker_has_a_memory_of_its_own():
    """Asked alone it knows a part; several over one Memory know the whole."""
    alone = MemoryQueue(Settings(), site(worker=3))
    assert IShardedStore.providedBy(alone)
    assert list(alone.shards()) == [3]


def test_a_full_memory_is_a_full_disk():
    """Beyond `size` octets drafts fail with ENOSPC, until something is removed."""
    store = MemoryQueue(Settings(size=100), site())
    around = envelope("a@b.example", "c@d.example", id="M1")
    draft = store.begin(around)
    draft.write(b"x" * 60)
    other = store.begin(envelope("a@b.example", "c@d.example", id="M2"))
    with pytest.raises(OSError) as full:
        other.write(b"x" * 60)
    assert full.value.errno == errno.ENOSPC
    draft.write(b"x" * 40)
    draft.commit(around, b"")
    with pytest.raises(OSError):
        store.begin(around)
    result_of(store.change(["M1"], "delete", 0.0))
    store.begin(around)


def test_it_warns_that_a_restart_loses_mail():
    """The log says it loudly at the start."""
    from twisted.logger import globalLogPublisher

    said = []
    globalLogPublisher.addObserver(said.append)
    try:
        store = MemoryQueue(Settings(), site())
        store.startService()
        around = envelope("a@b.example", "c@d.example")
        store.begin(around).commit(around, b"")
        store.close()
    finally:
        globalLogPublisher.removeObserver(said.append)
    texts = [event["log_format"] for event in said]
    assert any("loses every message" in text for text in texts)
    assert any("are lost" in text for text in texts)


def test_a_commit_that_cannot_be_is_an_error():
    """Another message's envelope and one without recipients are refused."""
    store = MemoryQueue(Settings(), site())
    draft = store.begin(envelope("a@b.example", "c@d.example", id="M1"))
    with pytest.raises(ValueError, match="M2"):
        draft.commit(envelope("a@b.example", "c@d.example", id="M2"), b"")
    with pytest.raises(ValueError, match="recipients"):
        draft.commit(envelope("a@b.example", id="M1"), b"")

"""Drafts: in memory while they are small, files once they are not, and gone when given up."""

from __future__ import annotations

import errno

import pytest
from twisted.internet.defer import Deferred, maybeDeferred

from mailframe.message import Entry
from mailframe.spool.bodies import Bodies
from mailframe.spool.draft import Budget, Draft, Spill
from mailframe.testing.hooks import result_of
from mailframe.testing.values import envelope, message

AROUND = envelope("a@b.example", "c@d.example", id="M1")


class Keeper:
    """Keeps what it is given; threads are this one, or wait for `go_on`."""

    def __init__(self, folder, limit=1000, inline=100, spilling=True):
        self.budget = Budget(limit)
        self.bodies = Bodies(folder)
        self.bodies.make()
        self.spill = Spill(self.bodies, inline, self.in_thread, lambda work: work)
        if not spilling:
            self.spill = None
        self.kept = []
        self.wrong = None
        self.slow = None  # a list: what waits to be done in a thread

    def in_thread(self, call, *arguments):
        if self.slow is None:
            return maybeDeferred(call, *arguments)
        done = Deferred()
        self.slow.append((done, call, arguments))
        return done

    def go_on(self):
        waiting, self.slow = self.slow, None
        for done, call, arguments in waiting:
            maybeDeferred(call, *arguments).chainDeferred(done)

    def keep(self, envelope, headers, body, lease):
        if self.wrong is not None:
            raise self.wrong
        self.kept.append((headers, body, lease))
        return Entry(message(), (), 0.0)


@pytest.fixture
def keeper(tmp_path):
    return Keeper(tmp_path)


def test_a_small_one_is_octets(keeper):
    """With their size and checksum; nothing of it is counted afterwards."""
    draft = Draft(keeper, AROUND)
    assert draft.write(b"12345") is None
    assert draft.write(b"6789") is None
    assert keeper.budget.used == 9
    draft.commit(AROUND, b"X: y\r\n", 7.0)
    assert keeper.kept == [(b"X: y\r\n", (b"123456789", 9, 0xCBF43926), 7.0)]
    assert keeper.budget.used == 0
    assert keeper.bodies.found() == []


def test_a_large_one_is_a_file(keeper):
    """Beyond `inline` octets; its checksum is that of all of them."""
    draft = Draft(keeper, AROUND)
    draft.write(b"x" * 100)
    assert keeper.bodies.found() == []
    assert result_of(draft.write(b"123456789")) is None
    assert keeper.bodies.found() == ["M1"]
    assert draft.write(b"more") is None
    with draft.content().open() as file:
        assert file.read() == b"x" * 100 + b"123456789more"
    result_of(draft.commit(AROUND, b""))
    ((_, body, _),) = keeper.kept
    assert (body.octets, body.size) == (None, 113)
    assert keeper.budget.used == 0


def test_many_together_become_files_sooner(keeper):
    """Once all drafts hold more than the budget, whoever writes next makes room."""
    keeper.budget.limit = 150
    small, other = Draft(keeper, AROUND), Draft(keeper, envelope("a@b.example", id="M2"))
    assert small.write(b"x" * 90) is None
    assert other.write(b"x" * 90) is not None
    assert keeper.bodies.found() == ["M2"]
    assert keeper.budget.used == 90


def test_without_a_place_for_files_all_stays_in_memory(tmp_path):
    """However much larger than `inline` it is."""
    keeper = Keeper(tmp_path, limit=5000, spilling=False)
    draft = Draft(keeper, AROUND)
    assert draft.write(b"x" * 5000) is None
    draft.commit(AROUND, b"")
    ((_, body, _),) = keeper.kept
    assert len(body.octets) == 5000


def test_writers_wait_for_the_file(keeper):
    """Back-pressure; a commit waits for what is being written, too."""
    keeper.slow = []
    draft = Draft(keeper, AROUND)
    first, second = draft.write(b"x" * 200), draft.write(b"y")
    done = draft.commit(AROUND, b"")
    assert not first.called and not second.called and not done.called
    with pytest.raises(OSError):
        draft.content()
    keeper.go_on()
    assert result_of(first) is None and result_of(second) is None
    result_of(done)
    ((_, body, _),) = keeper.kept
    assert body.size == 201


def test_what_is_given_up_is_gone(keeper):
    """In memory, in a file, and while it is being written."""
    for size, slow in ((10, False), (500, False), (500, True)):
        keeper.slow = [] if slow else None
        draft = Draft(keeper, AROUND)
        draft.write(b"x" * size)
        draft.abort()
        if slow:
            keeper.go_on()
        assert keeper.bodies.found() == []
        assert keeper.budget.used == 0
        with pytest.raises(OSError) as closed:
            draft.write(b"more")
        assert closed.value.errno == errno.EBADF


def test_a_file_that_cannot_be_written_fails_the_draft(keeper):
    """The writer hears of it, and so does whoever goes on; another's file is left alone."""
    keeper.bodies.path("M1").write_bytes(b"another's")
    draft = Draft(keeper, AROUND)
    waiting = draft.write(b"x" * 500)
    with pytest.raises(FileExistsError):
        result_of(waiting)
    with pytest.raises(FileExistsError):
        draft.write(b"more")
    with pytest.raises(FileExistsError):
        draft.commit(AROUND, b"")
    draft.abort()
    assert keeper.bodies.path("M1").read_bytes() == b"another's"
    assert keeper.budget.used == 0


def test_a_store_that_cannot_keep_it(keeper):
    """The commit fails with its words, and no file remains."""
    keeper.wrong = OSError(errno.ENOSPC, "full")
    for size in (10, 500):
        draft = Draft(keeper, AROUND)
        draft.write(b"x" * size)
        with pytest.raises(OSError) as full:
            result_of(maybeDeferred(draft.commit, AROUND, b""))
        assert full.value.errno == errno.ENOSPC
        assert keeper.bodies.found() == []
        assert keeper.budget.used == 0


def test_without_files_memory_has_an_end(tmp_path):
    """All drafts together are refused what would be too much; what they had can be kept."""
    keeper = Keeper(tmp_path, limit=100, spilling=False)
    draft, other = (Draft(keeper, AROUND) for _ in range(2))
    assert draft.write(b"x" * 60) is None
    with pytest.raises(OSError) as full:
        other.write(b"x" * 41)
    assert full.value.errno == errno.ENOSPC
    assert other.write(b"x" * 40) is None
    other.abort()
    result_of(draft.commit(AROUND, b""))
    assert keeper.kept[0][1].size == 60
    assert keeper.budget.used == 0

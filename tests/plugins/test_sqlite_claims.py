"""Claims in a large queue: none is lost, and none is gone over again and again."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from mailframe.message import Pending
from mailframe.message.codec import encode_envelope
from mailframe.spool.search import searchable
from mailframe.testing.values import envelope, recipient
from mailframe_plugins.sqlite_store.folder import StoreFolder
from mailframe_plugins.sqlite_store.queries import Sought, counts, find
from mailframe_plugins.sqlite_store.statements import NewMessage

NOW = 1_000_000.0
NOBODY = frozenset[str]()


class Store:
    """A ledger, and how many steps SQLite takes for what is done with it."""

    def __init__(self, folder):
        self.shelf = StoreFolder(folder, lambda: NOW)
        self.ledger = self.shelf.open()
        self.connection = self.ledger._connection
        self.steps = 0

    def close(self):
        self.ledger.close()
        self.shelf.close()

    def put(self, *messages):
        """(id, due, recipients) of each."""
        self.ledger.begin()
        self.ledger.insert([(new(*each), None) for each in messages])
        self.ledger.commit()

    def do(self, what, *arguments):
        self.ledger.begin()
        done = what(*arguments)
        self.ledger.commit()
        return done

    def claim(self, now=NOW, limit=50, excluding=NOBODY):
        entries = self.do(self.ledger.claim, now, limit, now + 300, excluding, lambda body: None)
        return [entry.id for entry in entries]

    def counted(self, what):
        """Tens of steps of SQLite's machine."""
        self.steps = 0

        def step():
            self.steps += 1

        self.connection.set_progress_handler(step, 10)
        what()
        self.connection.set_progress_handler(None, 0)
        return self.steps


def new(id, due, *addresses):
    around = envelope("alice@client.example", *addresses, id=id)
    pending = tuple(Pending(each, due) for each in around.recipients)
    return NewMessage(
        id, NOW - 60, pending, searchable([around.sender]), 4, encode_envelope(around), 0, b"", b"x"
    )


@pytest.fixture
def store(tmp_path, monkeypatch):
    # What these messages hold is not looked at.
    monkeypatch.setattr("mailframe.spool.bodies.StoredBody.verify", lambda *_: None)
    opened = Store(tmp_path / "queue")
    yield opened
    opened.close()


@dataclass
class Known:
    due: float
    domains: frozenset[str]
    hold: bool = False
    until: float | None = None
    ours: bool = False  # from its claim until it is given back, if the lease has ended, too


@pytest.mark.parametrize("seed", range(6))
def test_what_can_be_claimed_is_claimed(store, seed):
    """Whatever was excluded, held, given back or put off before: a plain list agrees."""
    chance = random.Random(seed)
    known: dict[str, Known] = {}
    now, domains = NOW, ["a.example", "b.example", "c.example", "d.example"]
    for turn in range(400):
        now += chance.choice((0, 0, 1, 20, -5))
        what = chance.choice("iiccccrRhdl")
        some = [id for id in known if chance.random() < 0.2]
        if what == "i":
            those = chance.sample(domains, chance.choice((1, 1, 1, 2)))
            due = now + chance.choice((-50, -1, 0, 5, 60))
            known[f"M{turn:04}"] = Known(due, frozenset(those))
            store.put((f"M{turn:04}", due, *(f"u@{each}" for each in those)))
        elif what == "c":
            excluding = frozenset(chance.sample(domains, chance.choice((0, 1, 1, 2, 3))))
            limit = chance.choice((1, 3, 50))
            for each in known.values():
                if each.until is not None and each.until <= now:
                    each.until = None
            able = {
                id
                for id, each in known.items()
                if each.due <= now
                and not each.hold
                and each.until is None
                and not each.domains <= excluding
            }
            claimed = store.claim(now, limit, excluding)
            assert len(claimed) == min(limit, len(able))
            assert set(claimed) <= able
            if claimed:
                least = min(known[id].due for id in able)
                assert known[claimed[0]].due == least
            for id in claimed:
                known[id].until, known[id].ours = now + 300, True
        elif what == "r":
            store.do(store.ledger.release, some)
            for id in some:
                known[id].until, known[id].ours = None, False
        elif what == "R":
            for id in [id for id in some if known[id].ours]:
                due = now + chance.choice((-30, 10, 100))
                pending = [Pending(recipient(f"u@{d}"), due) for d in known[id].domains]
                store.do(store.ledger.record, id, pending, True)
                known[id].due, known[id].until, known[id].ours = due, None, False
        elif what == "h":
            verb = chance.choice(("hold", "release"))
            store.do(store.ledger.change, some, verb, now)
            for id in some:
                known[id].hold = verb == "hold"
        elif what == "d":
            lost = store.do(store.ledger.finish, some)
            assert lost == {id for id in some if not known[id].ours}
            for id in set(some) - lost:
                del known[id]
        else:
            store.ledger.begin()
            store.ledger.release(some)
            store.ledger.rollback()
        free = [each.due for each in known.values() if not each.hold and each.until is None]
        times = free + [each.until for each in known.values() if each.until is not None]
        due = store.ledger.next_due()
        assert due == min(times, default=None) or (due is not None and due <= min(times))


def fill(store, count, domain="dead.example", due=NOW - 100):
    store.put(*((f"{domain[0]}{n:06}", due + n / count, f"u{n}@{domain}") for n in range(count)))


def test_a_claim_does_not_grow_with_the_queue(store):
    """What is due later is not looked at."""
    fill(store, 20, "live.example")
    alone = store.counted(lambda: store.claim(limit=10))
    fill(store, 4000, "waits.example", NOW + 1000)
    beside = store.counted(lambda: store.claim(limit=10))
    assert beside <= 2 * alone + 20


def test_the_dead_are_passed_over_once(store):
    """Though they are claimed in between, and others are left out for a moment."""
    fill(store, 4000)
    fill(store, 40, "live.example", NOW - 10)
    dead, both = frozenset({"dead.example"}), frozenset({"dead.example", "live.example"})
    first = store.counted(lambda: store.claim(limit=1, excluding=dead))
    assert first > 1000
    for excluding in (dead, NOBODY, dead, both, dead, NOBODY, both, dead):
        again = store.counted(lambda to=excluding: store.claim(NOW, 5, to))
        assert again < first / 5, excluding


def test_what_waits_does_not_make_the_next_due_slow(store):
    """next_due() reads one place of an index."""
    fill(store, 20)
    few = store.counted(store.ledger.next_due)
    fill(store, 4000, "waits.example", NOW + 1000)
    assert store.counted(store.ledger.next_due) <= few + 5


def test_counts_and_pages_read_little(store):
    """Counts take a few steps for a message; a page costs the same wherever it begins."""
    fill(store, 4000)
    assert store.counted(lambda: counts(store.connection)) < 4000
    assert counts(store.connection)["messages"] == 4000

    def page(after):
        return lambda: find(store.connection, Sought(after, 100, b"", None, None))

    assert abs(store.counted(page("")) - store.counted(page("d003000"))) < 20
    assert store.counted(page("d003000")) < 400

"""Several writers at once, and writers that are killed: no UID for two messages, none lost."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mailbox_kit import Place
from store_work import Worker, die_at, ended, in_child

from mailframe.mailbox import Folder, MailboxBusy
from mailframe.mailbox.uidvalidity import next_uidvalidity


def judge(lines: Iterable[str]) -> tuple[dict[str, int], set[int]]:
    """The last UID of each message, and what was expunged; nothing may contradict."""
    base_of: dict[int, str] = {}
    last: dict[str, int] = {}
    expunged: list[int] = []
    for line in lines:
        what, *words = line.split()
        assert what in ("uid", "expunged"), line
        if what == "expunged":
            expunged.append(int(words[0]))
            continue
        _, uid, base = words
        assert base_of.setdefault(int(uid), base) == base, (
            f"UID {uid} is {base_of[int(uid)]}, {base}"
        )
        last[base] = max(int(uid), last.get(base, 0))
    assert len(expunged) == len(set(expunged)), "a message was expunged twice"
    return last, set(expunged)


@pytest.mark.parametrize("seed", [1, 2])
def test_writers_at_random(place: Place, tmp_path: Path, seed: int) -> None:
    """Three processes add, flag, rename and expunge; all agree on every UID."""
    place.open()
    notes = [tmp_path / f"notes.{number}" for number in range(3)]
    children = [
        in_child(lambda n=n, note=note: Worker(place, note, seed * 10 + n).work(3.0))  # type: ignore[misc]
        for n, note in enumerate(notes)
    ]
    assert [ended(child) for child in children] == [0, 0, 0]
    lines = [line for note in notes for line in note.read_text().splitlines()]
    assert len({line.split()[1] for line in lines if line.startswith("uid")}) == 1
    last, expunged = judge(lines)
    assert len(last) > 50 and expunged
    place.rest()
    folder = place.open()
    names = {name.partition("/")[2].partition(":")[0] for name in place.files()}
    assert set(folder._bases) == names, "a message is missing, or one is there that is not"
    for uid, base in zip(folder.uids, folder._bases, strict=True):
        assert last.get(base, uid) <= uid and uid not in expunged
    assert not [each for each in place.beside() if each.endswith(".lock")]


def test_threads_at_random(place: Place, tmp_path: Path) -> None:
    """The same with three threads of one process, which share its number."""
    notes = [tmp_path / f"notes.{number}" for number in range(3)]
    workers = [Worker(place, note, number) for number, note in enumerate(notes)]
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(worker.work, 1.5) for worker in workers]:
            done.result()
    last, expunged = judge(line for note in notes for line in note.read_text().splitlines())
    assert len(last) > 20 and expunged


def known(folder: Folder) -> dict[str, int]:
    return dict(zip(folder._bases, folder.uids, strict=True))


def prepared(place: Place, case: str) -> None:
    """A store in which the next change is the one that the case is about."""
    if case == "first":
        place.put("1.a")
        return
    for number in range(100):
        place.put(f"{number:03}.a", inside="cur")
    folder = place.open()
    if case == "torn":
        with (place.path / "dovecot-uidlist").open("a") as file:
            file.write("101 :100")
    elif case == "rewritten":
        folder.expunge(range(20, 100))
    place.put("200.b")
    place.rest()


def change(place: Place, told: Path) -> None:
    """All changes that a session makes; before each step it writes down what it knows."""
    folder = place.open(stale=0.3)
    told.write_text("".join(f"{uid} {base}\n" for base, uid in known(folder).items()))
    folder.store_flags(folder.uids[:2], ["\\Seen", "Junk", "$Forwarded"], "add")
    place.rest()
    folder.size(folder.uids[0])
    folder.expunge(folder.uids[-1:])
    place.rest()
    folder.refresh()
    folder.close()


@pytest.mark.parametrize("case", ["first", "append", "torn", "rewritten"])
def test_killed_at_every_call(tmp_path: Path, case: str) -> None:
    """The next reader finds every message, with the UIDs that were told; nothing is in its way."""
    number = 0
    while True:
        number += 1
        place = Place(tmp_path / f"{number}" / "Maildir")
        prepared(place, case)
        before = set(place.files())
        told = tmp_path / "told"
        told.write_text("")

        def work(number: int = number, place: Place = place, told: Path = told) -> None:
            die_at(number)
            change(place, told)

        status = ended(in_child(work))
        if status == 0:
            break
        assert status == 9, f"call {number}"
        check(place, before, told.read_text().splitlines(), number)
    assert number > 20


def check(place: Place, before: set[str], told: list[str], number: int) -> None:
    """After a kill at this call."""
    with contextlib.suppress(MailboxBusy):
        place.open(timeout=0.1)  # a lock without an owner is waited for
    folder = place.open(stale=0.3)
    names = {name.partition("/")[2].partition(":")[0] for name in place.files()}
    assert set(folder._bases) == names, number
    gone = {name.partition("/")[2].partition(":")[0] for name in before} - names
    assert len(gone) <= 1, number
    now = known(folder)
    for line in told:
        uid, _, base = line.partition(" ")
        assert base in gone or now[base] == int(uid), f"call {number}: {base}"
    assert len(set(now.values())) == len(now)
    assert folder.next_uid > max((int(line.split()[0]) for line in told), default=0)
    again = place.open()
    assert known(again) == now and again.validity == folder.validity
    place.put()
    folder.refresh()
    folder.store_flags(folder.uids[:1], ["Other"], "add")
    assert "Other" in folder.flags(folder.uids[0])
    assert not [name for name in os.listdir(place.path) if name.endswith(".lock")], number


def test_no_uidvalidity_is_given_twice(place: Place, tmp_path: Path) -> None:
    """Whoever makes a folder at the same time gets another one."""

    def work(notes: Path) -> None:
        values = [next_uidvalidity(place.maildir, 5.0) for _ in range(100)]
        notes.write_text("\n".join(map(str, values)))

    next_uidvalidity(place.maildir, 5.0)
    notes = [tmp_path / f"values.{number}" for number in range(3)]
    children = [in_child(functools.partial(work, note)) for note in notes]
    assert [ended(child) for child in children] == [0, 0, 0]
    values = [int(word) for note in notes for word in note.read_text().split()]
    assert sorted(values) == list(range(6, 306))

"""Scans: what they find, and when they may be believed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from mailbox_kit import Place

from mailframe.mailbox.scan import folder_times, scan


def test_a_clean_scan(place: Place) -> None:
    """It has every message by the part of its name that stays, and where it is."""
    place.put("1.a")
    place.put("2.b:2,S", inside="cur")
    found = scan(place.path)
    assert found.clean and found.files == {"1.a": "cur/1.a:2,", "2.b": "cur/2.b:2,S"}
    assert found.moved == {"1.a"} and found.times == folder_times(place.path)
    again = scan(place.path, move=False)
    assert again.files == found.files and not again.moved


def test_a_folder_that_has_just_changed_is_not_clean(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's clock is coarse: a change right after the scan might not show. It waits."""
    place.put("1.a")
    monkeypatch.setattr("mailframe.mailbox.scan.time.sleep", lambda seconds: None)
    future = max(folder_times(place.path)) + 10**9
    os.utime(place.path / "cur", ns=(future, future))
    assert not scan(place.path, move=False).clean
    monkeypatch.undo()
    os.utime(place.path / "cur")
    assert scan(place.path, move=False, tries=1).clean


def test_what_any_try_found_counts(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing beside a renamer misses some; several together miss next to none."""
    for number in range(3):
        place.put(f"{number}.a", inside="cur")
    listdir, turn = os.scandir, iter(range(100))

    class Lacking:
        def __init__(self, path: Path) -> None:
            self._path, self._lacks = path, f"{next(turn) // 2 % 3}.a"

        def __enter__(self) -> Iterator[os.DirEntry[str]]:
            os.utime(place.path / "cur")
            return (each for each in listdir(self._path) if each.name != self._lacks)

        def __exit__(self, *_exc: object) -> None:
            os.utime(place.path / "cur")

    monkeypatch.setattr(os, "scandir", Lacking)
    once = scan(place.path, move=False, tries=1)
    assert not once.clean and len(once.files) == 2
    found = scan(place.path, move=False, tries=2)
    assert not found.clean and len(found.files) == 3


def test_doubles_are_told_by_clean_scans_only(place: Place) -> None:
    """All files of the message; the first of them stands for it."""
    place.put("1.a")
    place.put("1.a:2,S", inside="cur")
    place.put("1.a:2,", inside="cur")
    found = scan(place.path)
    files = ("cur/1.a:2,", "cur/1.a:2,S", "new/1.a")
    assert found.doubles == {"1.a": files} and found.files == {"1.a": files[0]}


def test_what_cannot_be_moved_stays_in_new(place: Place) -> None:
    """A name that is too long for flags behind it."""
    name = "1." + "x" * 252
    place.put(name)
    found = scan(place.path)
    assert found.files == {name: f"new/{name}"} and not found.moved

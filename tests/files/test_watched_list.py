"""Lists that lose most of their entries at once are doubted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from twisted.logger import globalLogPublisher

from mailframe.files.watched_list import SETTLED, WatchedList

LONG_AGO = 1_000_000.0


class Listing:
    """A list of words on disk, and a clock."""

    def __init__(self, path: Path, *words: str) -> None:
        self.path, self.time = path, LONG_AGO
        self.write(*words)
        self.list: WatchedList[list[str]] = WatchedList(path, _words, lambda: self.time)

    def write(self, *words: str, age: float = 10.0) -> None:
        """Put a new version in the old one's place, last written `age` seconds ago."""
        fresh = self.path.with_name("fresh")
        fresh.write_text("".join(f"{word}\n" for word in words))
        os.utime(fresh, (self.time - age,) * 2)
        fresh.replace(self.path)

    def write_in_place(self, *words: str, age: float = 0.0) -> None:
        """As an editor or a shell's redirection does it."""
        self.path.write_text("".join(f"{word}\n" for word in words))
        os.utime(self.path, (self.time - age,) * 2)

    def later(self, seconds: float = 1.0) -> list[str]:
        self.time += seconds
        return self.list.value()


def _words(text: str) -> list[str]:
    return [line for line in text.split("\n") if line and not line.startswith("#")]


@pytest.fixture
def loud() -> Iterator[Callable[[], list[str]]]:
    """What was said of doubt."""
    events: list[dict[str, object]] = []
    globalLogPublisher.addObserver(events.append)
    yield lambda: [str(event["problem"]) for event in events if "problem" in event]
    globalLogPublisher.removeObserver(events.append)


@pytest.mark.parametrize("left", [(), ("a",), ("a", "b")])
def test_most_are_gone(tmp_path: Path, left: tuple[str, ...], loud) -> None:
    """The last good version stays, loudly, and again in a minute."""
    listing = Listing(tmp_path / "list", *"abcde")
    listing.write(*left)
    assert listing.later() == list("abcde") and listing.list.doubted
    assert len(loud()) == 1 and f"{len(left)} entries are left of 5" in loud()[0]
    listing.later(61)
    assert len(loud()) == 2


def test_some_are_gone(tmp_path: Path) -> None:
    """Half and more of them left is a change like any other; of few, one may be left."""
    listing = Listing(tmp_path / "list", *"abcd")
    listing.write("a", "b")
    assert listing.later() == ["a", "b"] and not listing.list.doubted
    listing.write("a")
    assert listing.later() == ["a"] and not listing.list.doubted
    listing.write()
    assert listing.later() == ["a"] and listing.list.doubted


def test_it_is_whole_again(tmp_path: Path) -> None:
    """Doubt ends with a version that has them."""
    listing = Listing(tmp_path / "list", *"abcde")
    listing.write()
    listing.later()
    listing.write(*"abcdf")
    assert listing.later() == list("abcdf") and not listing.list.doubted


def test_it_is_meant(tmp_path: Path) -> None:
    """A comment says so."""
    listing = Listing(tmp_path / "list", *"abcde")
    listing.write("# shortened: they have left us", "a")
    assert listing.later() == ["a"] and not listing.list.doubted


def test_empty_from_the_start(tmp_path: Path) -> None:
    """What a host starts with is believed."""
    listing = Listing(tmp_path / "list")
    assert listing.list.value() == []
    listing.write("a")
    assert listing.later() == ["a"]


def test_amid_being_written(tmp_path: Path) -> None:
    """A file that is written in place is read once it rests; one put in its place at once."""
    listing = Listing(tmp_path / "list", *"abcde")
    listing.later()
    listing.time += 1
    listing.write_in_place(*"abc")
    assert listing.list.value() == list("abcde")
    assert listing.later(SETTLED) == list("abc")
    listing.write_in_place(*"abcdef", age=5)
    assert listing.later() == list("abcdef")
    listing.write(*"abcdefg", age=0)
    assert listing.later() == list("abcdefg")

"""Files that are read again when they change."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from mailframe.files.watched import (
    LARGE,
    LineError,
    WatchedFile,
    significant_lines,
    watch_setting,
)
from mailframe.plugin import SettingError


def numbers(text: str) -> list[int]:
    """A parser for tests: a number a line."""
    found = []
    for line, word in significant_lines(text):
        if not word.isdigit():
            raise LineError(line, f"{word!r} is no number")
        found.append(int(word))
    if 0 in found:
        raise ValueError("zero is not wanted")
    return found


@pytest.fixture
def said() -> Callable[[], list[str]]:
    """What was logged as an error since."""
    events: list[dict[str, object]] = []
    globalLogPublisher.addObserver(events.append)

    def lines() -> list[str]:
        found = [f"{event['where']}: {event['problem']}" for event in events if "problem" in event]
        events.clear()
        return found

    yield lines  # type: ignore[misc]
    globalLogPublisher.removeObserver(events.append)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of two numbers."""
    path = tmp_path / "numbers"
    path.write_text("# comment\n1\n\n 2 \n")
    return path


def test_changes_count(path: Path) -> None:
    """A new version is seen within a second, and not looked for more often."""
    clock = Clock()
    file = WatchedFile(path, numbers, clock.seconds)
    assert file.value() == [1, 2]
    path.write_text("3\n")
    clock.advance(0.9)
    assert file.value() == [1, 2]
    clock.advance(0.1)
    assert file.value() == [3]


def test_replaced_file_of_the_same_size(path: Path) -> None:
    """A file put in its place counts, though size and time be the same."""
    clock = Clock()
    file = WatchedFile(path, numbers, clock.seconds)
    other = path.with_name("other")
    other.write_text(path.read_text().replace("1", "7"))
    stat = path.stat()
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.rename(path)
    clock.advance(1)
    assert file.value() == [7, 2]


def test_unchanged_file_is_not_parsed_again(path: Path) -> None:
    """Looking costs no parsing."""
    clock = Clock()
    parsed: list[str] = []
    file = WatchedFile(path, lambda text: parsed.append(text), clock.seconds)
    clock.advance(10)
    file.value()
    assert len(parsed) == 1


def test_clock_set_back(path: Path) -> None:
    """A clock set back does not stop the looking."""
    now = [1000.0]
    file = WatchedFile(path, numbers, lambda: now[0])
    path.write_text("3\n")
    now[0] = 5.0
    assert file.value() == [3]


def test_a_bad_version_is_not_believed(path: Path, said: Callable[[], list[str]]) -> None:
    """The last good value stays, the line is logged once, and repair counts."""
    clock = Clock()
    file = WatchedFile(path, numbers, clock.seconds)
    path.write_text("4\nfive\n")
    for _ in range(3):
        clock.advance(1)
        assert file.value() == [1, 2]
    assert said() == [f"{path}:2: 'five' is no number"]
    path.write_text("0\n")
    clock.advance(1)
    assert file.value() == [1, 2]
    assert said() == [f"{path}: zero is not wanted"]
    path.write_text("4\n5\n")
    clock.advance(1)
    assert file.value() == [4, 5]


def test_a_lost_file(path: Path, said: Callable[[], list[str]]) -> None:
    """A file that vanishes leaves its last value, says so once, and is welcome back."""
    clock = Clock()
    file = WatchedFile(path, numbers, clock.seconds)
    path.unlink()
    for _ in range(3):
        clock.advance(1)
        assert file.value() == [1, 2]
    assert said() == [f"{path}: No such file or directory"]
    path.write_text("6")
    clock.advance(1)
    assert file.value() == [6]


def test_octets_that_are_no_text(path: Path, said: Callable[[], list[str]]) -> None:
    """A file that is no UTF-8 is a bad version."""
    clock = Clock()
    file = WatchedFile(path, numbers, clock.seconds)
    path.write_bytes(b"\xff\xfe1")
    clock.advance(1)
    assert file.value() == [1, 2]
    assert len(said()) == 1


def test_at_the_start(path: Path) -> None:
    """At the start a wrong file is a SettingError with its line."""
    assert watch_setting("file", path, numbers).value() == [1, 2]
    path.write_text("1\nx\n")
    with pytest.raises(SettingError, match=r"numbers:2: 'x' is no number") as caught:
        watch_setting("file", path, numbers)
    assert caught.value.key == "file"
    path.write_text("0\n")
    with pytest.raises(SettingError, match=r"numbers: zero"):
        watch_setting("file", path, numbers)
    path.unlink()
    with pytest.raises(SettingError, match=r"numbers: No such file or directory"):
        watch_setting("file", path, numbers)


def test_a_large_file_is_parsed_in_a_thread(path: Path, said: Callable[[], list[str]]) -> None:
    """Its last good value stays until that is done; what changed meanwhile is seen afterwards."""
    clock = Clock()
    waiting: list[tuple[Deferred[object], Callable[[], object]]] = []

    def in_thread(call: Callable[[], object]) -> Deferred[object]:
        waiting.append((Deferred(), call))
        return waiting[-1][0]

    def done() -> None:
        [(deferred, call)] = waiting
        waiting.clear()
        try:
            result = call()
        except Exception:
            deferred.errback()
        else:
            deferred.callback(result)

    def look() -> list[int]:
        clock.advance(1)
        return file.value()

    file = WatchedFile(path, numbers, clock.seconds, in_thread)
    comment = "# " + "x" * LARGE + "\n"
    path.write_text(comment + "3\n")
    assert look() == [1, 2]
    path.write_text(comment + "44\n")
    assert look() == [1, 2] and len(waiting) == 1
    done()
    assert file.value() == [44]
    assert look() == [44]
    done()
    path.write_text(comment + "5x\n")
    assert look() == [44]
    done()
    assert file.value() == [44]
    assert said() == [f"{path}:2: '5x' is no number"]
    assert look() == [44] and not waiting
    path.write_text("6\n")
    assert look() == [6] and not waiting

"""What comes over and over is logged once a minute, with how often it came."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import Logger, LogLevel, formatEvent

from mailframe.repeated import MOST_KINDS, SAY_EVERY, RepeatedLog


class Book:
    """A log in memory, with a clock."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.clock = Clock()
        log = Logger(namespace="book", observer=self.events.append)
        self.repeated = RepeatedLog(log, self.clock.seconds)

    @property
    def lines(self) -> list[str]:
        return [formatEvent(event) for event in self.events]

    def fails(self, wrong: Exception) -> bool:
        try:
            raise wrong
        except Exception:
            return self.repeated.failure("{id}: failed", id="M1")


def test_the_first_is_logged_whole_and_the_rest_of_a_minute_counted() -> None:
    """The line after the minute says how many there were."""
    book = Book()
    for number in range(500):
        assert book.repeated.error("{id}: full", id=f"M{number}") is (number == 0)
    assert book.lines == ["M0: full"]
    book.clock.advance(SAY_EVERY)
    book.repeated.error("{id}: full", id="M500")
    assert book.lines[1:] == ["M500: full (and 499 more like it before this one)"]
    assert book.events[1]["unsaid"] == 499
    assert book.events[1]["log_level"] is LogLevel.error
    book.clock.advance(SAY_EVERY)
    book.repeated.error("{id}: full", id="M501")
    assert book.lines[2:] == ["M501: full"]


def test_what_is_of_another_kind_is_not_hidden() -> None:
    """Another format, another class of exception, another `kind`."""
    book = Book()
    assert book.repeated.warn("a")
    assert book.repeated.warn("b")
    assert book.repeated.warn("{path}", kind="/a", path="/a")
    assert book.repeated.warn("{path}", kind="/b", path="/b")
    assert not book.repeated.warn("{path}", kind="/a", path="/a")
    assert book.fails(OSError("full"))
    assert book.fails(ValueError("odd"))
    assert not book.fails(OSError("full"))
    assert [event["log_failure"].type for event in book.events[4:]] == [OSError, ValueError]


def test_a_clock_that_goes_back_silences_nothing() -> None:
    """Too much is said rather than too little."""
    book = Book()
    book.clock.advance(1000)
    book.repeated.error("full")
    book.clock.rightNow = 0.0
    assert book.repeated.error("full")
    assert not book.repeated.error("full")


@pytest.mark.parametrize("pause", [0.0, SAY_EVERY])
def test_memory_and_lines_are_bounded(pause: float) -> None:
    """Of too many kinds at once the rest is one kind; those of earlier minutes are forgotten."""
    book = Book()
    for number in range(10 * MOST_KINDS):
        book.repeated.error("{n}", kind=("kind", number), n=number)
        book.clock.advance(pause)
    assert len(book.repeated._kinds) <= MOST_KINDS + 1
    assert len(book.lines) == (MOST_KINDS + 1 if not pause else 10 * MOST_KINDS)

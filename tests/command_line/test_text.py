"""Words for a terminal."""

from __future__ import annotations

import pytest

from mailframe.command_line.text import clock, facts, octets, path, safe, span, took


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0s"), (0, "0s"), (59.6, "1m"), (45, "45s"), (200, "3m 20s"), (3600, "1h"),
        (14700, "4h 5m"), (86400 * 2 + 3 * 3600 + 5, "2d 3h"), (86400, "1d"), (86405, "1d"),
    ],
)  # fmt: skip
def test_span(seconds: float, words: str) -> None:
    """The two largest units, without empty ones at the end."""
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0"), (950, "950"), (4096, "4.0K"), (26_214_400, "25M"), (5 << 40, "5120G")],
)
def test_octets(size: int, words: str) -> None:
    """The largest unit that leaves a number."""
    assert octets(size) == words


def test_safe() -> None:
    """What could move a cursor or forge a line is shown as an escape; letters stay."""
    assert safe("Zoë\x1b[2J\r\n\x9b\u202e") == "Zoë\\x1b[2J\\r\\n\\x9b\\u202e"


def test_facts_and_paths() -> None:
    """Only facts that say something; paths in angle brackets."""
    row = {"client": "192.0.2.1", "user": None, "hello": "", "size": 0}
    assert list(facts(row)) == ["client=192.0.2.1", "size=0"]
    assert (path("a@b.example"), path("")) == ("<a@b.example>", "<>")


def test_how_long_it_took() -> None:
    """In the unit that can be read."""
    assert [took(ms) for ms in (0.04, 32.2, 999.9, 1500, 59_900, 300_500)] == [
        "0.0 ms", "32.2 ms", "999.9 ms", "1.5 s", "59.9 s", "5m",
    ]  # fmt: skip


def test_moments_among_facts() -> None:
    """Seconds since the epoch are a date; sizes and counts stay numbers."""
    row = {"due": 1795823137.5395494, "size": 1795823137, "attempts": 1, "share": 0.5, "none": ""}
    moment = clock(1795823137.5395494)
    assert list(facts(row)) == [
        f"due={moment}", "size=1795823137", "attempts=1", "share=0.5",
    ]  # fmt: skip

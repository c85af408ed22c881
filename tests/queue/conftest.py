"""No test leaves an attempt behind."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from queue_kit import House


@pytest.fixture(autouse=True)
def _nothing_is_left_running(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Attempts that wait are cut off. As garbage, they would end and log amid another test."""
    houses: list[House] = []
    made = House.__init__

    def remember(self: House, *arguments: object, **named: object) -> None:
        houses.append(self)
        made(self, *arguments, **named)

    monkeypatch.setattr(House, "__init__", remember)
    yield
    for house in houses:
        # What a test's own agent or store does wrong is what that test is about.
        with contextlib.suppress(Exception):
            house.scheduler._window.cut_off()

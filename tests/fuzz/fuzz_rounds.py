"""Rounds on a virtual clock, one after the other: of the way out, or of the queue."""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz_replies import Broken

sys.path += [str(Path(__file__).parents[1] / room) for room in ("transmission", "queue")]

from fuzz_outbound import outbound_round
from fuzz_queue import queue_round


def play_outbound(name: str) -> tuple[str, str]:
    """Play the round of this name: what the oracle found, "" for nothing, and all that was said."""
    return _played(outbound_round(name))


def play_queue(name: str) -> tuple[str, str]:
    """See play_outbound."""
    with tempfile.TemporaryDirectory(prefix="mailframe-fuzz-") as folder:
        return _played(queue_round(name, Path(folder)))


def _played(played: Any) -> tuple[str, str]:
    try:
        played.play()
    except Broken as wrong:
        return str(wrong), played.shown()
    # Whatever else went wrong was raised by the code under test.
    except Exception as wrong:
        return f"{type(wrong).__name__}: {wrong}", played.shown()
    return "", played.shown()


def run_rounds(
    play: Callable[[str], tuple[str, str]],
    seed: str,
    *,
    seconds: float = 0.0,
    rounds: int = 0,
    tell: Callable[[str], None] = print,
) -> tuple[int, str]:
    """Play until the time is up, so many were played, or one fails: how many, and the failure."""
    began = told = time.monotonic()
    for index in itertools.count():
        now = time.monotonic()
        if (seconds and now - began > seconds) or (rounds and index >= rounds):
            return index, ""
        if now - told > 5:
            told = now
            tell(f"{now - began:5.0f} s  {index} rounds")
        failure, shown = play(f"{seed}:{index}")
        if failure:
            return index + 1, f"{seed}:{index}: {failure}\n{shown}"
    raise AssertionError("unreachable")

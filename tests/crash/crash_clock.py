"""A clock that jumps a day ahead and back, under mail that waits and mail that comes."""

from __future__ import annotations

import time
from pathlib import Path

from crash_book import Book
from crash_disks import CannotRun
from crash_host import Say, World

DAY = 86400
_LIBRARY = "faketime/libfaketimeMT.so.1"


def library() -> Path:
    """libfaketime's; CannotRun where it is not installed."""
    for folder in sorted(Path("/usr/lib").glob("*-linux-*")):
        if (folder / _LIBRARY).exists():
            return folder / _LIBRARY
    raise CannotRun("libfaketime is missing (Debian: apt-get install faketime)")


def jumps(folder: Path, say: Say, *, seed: int = 1) -> Book:
    """Mail that waits is tried soon after each jump, and none is given up for it."""
    folder.mkdir(parents=True, exist_ok=True)
    clock = folder / "clock"
    clock.write_text("+0\n")
    env = {
        "LD_PRELOAD": str(library()), "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1",
    }  # fmt: skip
    with World(folder, seed=seed, clients=4, relay=True, always="defer MAIL", env=env) as world:
        world.accepts(40)
        _jump(world, clock, DAY, say)
        world.accepts(40)
        world.sink.always = "take"
        _empties(world, say, "a day ahead", 30)
        world.sink.always = "defer MAIL"
        world.accepts(40)
        # The harder way back: no new mail wakes the queue up.
        for sender in world.senders:
            sender.finish()
            sender.join(30)
        _jump(world, clock, 0, say)
        world.sink.always = "take"
        _empties(world, say, "a day back", 100)
        if world.book.bounced:
            world.book.fault(f"{len(world.book.bounced)} were given up for the clock")
        world.finish()
        world.leftovers()
    return world.book


def _jump(world: World, clock: Path, offset: int, say: Say) -> None:
    # A new file in its place, so that nobody reads half of it.
    new = clock.with_suffix(".new")
    new.write_text(f"+{offset}\n")
    new.rename(clock)
    time.sleep(1.5)  # the library looks once in a second
    world.alive()
    say(f"the clock is {offset} s ahead")


def _empties(world: World, say: Say, when: str, seconds: float) -> None:
    """What was accepted by now arrives within so many seconds, with nobody's help."""
    wanted = set(world.book.accepted)
    start = time.monotonic()
    while wanted & {name for name, _ in world.book.missing()}:
        if time.monotonic() - start > seconds:
            left = len(wanted & {name for name, _ in world.book.missing()})
            world.book.fault(f"{when}: {left} of {len(wanted)} still wait after {seconds:.0f} s")
            return
        time.sleep(0.2)
    say(f"{when}: all {len(wanted)} arrived {time.monotonic() - start:.1f} s later")

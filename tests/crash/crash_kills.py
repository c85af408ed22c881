"""SIGKILL at random moments, with mail under way; the host is started again each time."""

from __future__ import annotations

import random
import time
from pathlib import Path

from crash_book import Book
from crash_host import Say, World


def kills(
    folder: Path, say: Say, *, kills: int = 200, seed: int = 1, seconds: float = 3600.0,
    relay: bool = False,
) -> Book:  # fmt: skip
    """Kill so often, or for so many seconds; Maildirs, or with `relay` a moody next hop."""
    chance = random.Random(f"kills {seed}")
    end = time.monotonic() + seconds
    with World(folder, seed=seed, relay=relay, always="" if relay else "take") as world:
        try:
            for number in range(1, kills + 1):
                if time.monotonic() > end:
                    break
                _until_killed(world, chance)
                world.harvest()
                if number % 10 == 0 or number == kills:
                    book = world.book
                    say(
                        f"kill {number}: {len(book.accepted)} accepted, "
                        f"{len(book.missing())} on their way, {len(book.faults)} faults"
                    )
        except KeyboardInterrupt:
            say("interrupted: finishing what is under way")
        if world.host.process.process is None or world.host.process.process.poll() is not None:
            world.start()
        world.finish()
        world.leftovers()
        if relay:
            say(f"the next hop: {dict(sorted(world.sink.met.items()))}")
    return world.book


def _until_killed(world: World, chance: random.Random) -> None:
    """Kill it at a random moment, at times while it still starts; start it again."""
    time.sleep(chance.uniform(0.0, 2.0))
    world.kill()
    if chance.random() < 0.1:
        world.host.process.start()
        time.sleep(chance.uniform(0.1, 0.8))
        world.kill()
    world.start()

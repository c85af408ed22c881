"""Crash mailframe for as long as you like: python tests/crash/crash_run.py --kills 1000

Prints a line every now and then, and at the end of each scenario what was promised, what
arrived, and all that is wrong. An interrupt (Ctrl-C) ends the kills, not the accounts.
Ends with status 1 where anything was lost, partial, or doubled without a reason.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "live"))

import crash_clock
import crash_damage
import crash_disks
import crash_kills
import crash_syncs
from crash_book import Book
from crash_host import Say

Scenario = Callable[[Path, Say, argparse.Namespace], Book]

SCENARIOS: dict[str, Scenario] = {
    "maildir": lambda folder, say, to: crash_kills.kills(
        folder, say, kills=to.kills, seed=to.seed, seconds=to.seconds
    ),
    "relay": lambda folder, say, to: crash_kills.kills(
        folder, say, kills=to.kills, seed=to.seed, seconds=to.seconds, relay=True
    ),
    "full": lambda folder, say, to: crash_disks.full(folder, say, seed=to.seed),
    "readonly": lambda folder, say, to: crash_disks.read_only(folder, say, seed=to.seed),
    "failing": lambda folder, say, to: crash_disks.failing(folder, say, seed=to.seed),
    "damage": lambda folder, say, to: crash_damage.damage(folder, say, rounds=10, seed=to.seed),
    "clock": lambda folder, say, to: crash_clock.jumps(folder, say, seed=to.seed),
    "syncs": lambda folder, say, to: crash_syncs.syncs(folder, say),
}


def main() -> int:
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("--kills", type=int, default=200, help="kills of a scenario (200)")
    words.add_argument("--seed", type=int, default=int(time.time()), help="by default the time")
    words.add_argument("--seconds", type=float, default=3600.0, help="of kills, at most (3600)")
    words.add_argument(
        "--scenario", action="append", choices=list(SCENARIOS), metavar="NAME",
        help=f"one of {', '.join(SCENARIOS)}; again for several; by default all",
    )  # fmt: skip
    words.add_argument("--keep", action="store_true", help="leave the folders for a look")
    to = words.parse_args()
    print(f"seed {to.seed}", flush=True)
    failed = [name for name in to.scenario or SCENARIOS if not run(name, to)]
    print(f"failed: {', '.join(failed)}" if failed else "nothing was lost", flush=True)
    return bool(failed)


def run(name: str, to: argparse.Namespace) -> bool:
    """One scenario in a folder of its own; whether all was well."""
    folder = Path(tempfile.mkdtemp(prefix=f"crash-{name}-"))

    def say(line: str) -> None:
        print(f"{time.strftime('%T')} {name}: {line}", flush=True)

    try:
        book = SCENARIOS[name](folder, say, to)
    except (AssertionError, KeyboardInterrupt, crash_disks.CannotRun) as wrong:
        say(f"ended early: {type(wrong).__name__}: {wrong}")
        return isinstance(wrong, crash_disks.CannotRun)
    say(book.summary())
    if book.wrong() or to.keep:
        say(f"its files are in {folder}")
    else:
        shutil.rmtree(folder)
    return not book.wrong()


if __name__ == "__main__":
    sys.exit(main())

"""Damaged pages and damaged body files: set aside and reported, and the rest goes on."""

from __future__ import annotations

import random
import re
import signal
import time
from pathlib import Path

from crash_book import Book
from crash_host import Say, World

PAGE = 4096
_SALVAGED = re.compile(r"(\d+) messages were saved, (\d+) could not be read in full")


def damage(folder: Path, say: Say, *, rounds: int, seed: int = 1) -> Book:
    """In each round a queue of its own is damaged in its own way; faults and figures of all."""
    whole = Book()
    for number in range(rounds):
        kind = ("page", "bodies", "page", "header")[number % 4]
        book = _one(folder / str(number), say, kind, seed * 1000 + number)
        whole.accepted.update(book.accepted)
        whole.copies.update(book.copies)
        whole.bounced.update(book.bounced)
        whole.kills += book.kills
        whole.uncertain |= book.uncertain
        whole.faults += [f"round {number} ({kind}): {fault}" for fault in book.faults]
    return whole


def _one(folder: Path, say: Say, kind: str, seed: int) -> Book:
    chance = random.Random(f"damage {seed}")
    with World(folder, seed=seed, clients=4, relay=True, always="defer MAIL") as world:
        world.accepts(100)
        for sender in world.senders:
            sender.finish()
        for sender in world.senders:
            sender.join(30)
        # Stopped in order, the log is in the database and a damaged page is what will be read.
        world.host.stop(signal.SIGTERM)
        queue = folder / "state" / "queue"
        what = _damage_bodies(queue, chance) if kind == "bodies" else _damage_page(
            queue / "queue.db", 1 if kind == "header" else 0, chance
        )  # fmt: skip
        world.sink.always = "take"
        world.start()
        _settle(world)
        counts, lines = world.summary()
        missing = {name for name, _ in world.book.missing()}
        say(f"{what}: {len(missing)} of {len(world.book.accepted)} set aside, {len(lines)} reports")
        _judge(world, kind, missing, lines)
        _takes_new_mail(world)
        if counts["messages"]:
            world.book.fault(f"{counts['messages']} messages stay in the queue")
        for name in missing:
            # Accounted for: they are in the folder `corrupt` and named.
            del world.book.accepted[name]
    return world.book


def _damage_page(database: Path, page: int, chance: random.Random) -> str:
    """Write nonsense over a part of a page (1: the header; 0: any other)."""
    pages = database.stat().st_size // PAGE
    page = page or chance.randint(2, pages)
    start = chance.choice((0, chance.randrange(PAGE)))
    octets = chance.randbytes(chance.choice((1, 64, PAGE - start)))[: PAGE - start]
    with database.open("r+b") as file:
        file.seek((page - 1) * PAGE + start)
        file.write(octets)
    return f"page {page} of {pages}, {len(octets)} octets at {start}"


def _damage_bodies(queue: Path, chance: random.Random) -> str:
    """One file cut off, one with a flipped bit, one gone."""
    files = sorted((queue / "bodies").iterdir())
    chosen = chance.sample(files, min(3, len(files)))
    for file, how in zip(chosen, ("cut", "flipped", "gone"), strict=False):
        octets = bytearray(file.read_bytes())
        if how == "cut":
            file.write_bytes(octets[: len(octets) // 2])
        elif how == "flipped":
            octets[chance.randrange(len(octets))] ^= 1
            file.write_bytes(octets)
        else:
            file.unlink()
    return f"{len(chosen)} of {len(files)} body files"


def _settle(world: World, seconds: float = 60.0) -> None:
    """Wait for the queue to be empty, or for nothing to happen any more."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and world.summary()[0]["messages"]:
        time.sleep(0.3)
    world.harvest()


def _judge(world: World, kind: str, missing: set[str], lines: list[str]) -> None:
    """What is missing must have been reported; what was set aside must be in the log."""
    salvaged = [found for line in lines if (found := _SALVAGED.search(line))]
    reported = sum(1 for line in lines if not _SALVAGED.search(line))
    reported += sum(int(found[2]) for found in salvaged)
    if len(missing) > reported and not (kind == "header" and salvaged):
        world.book.fault(f"{len(missing)} messages are missing, {reported} are reported: {lines}")
    if lines and not re.search("damaged|set aside", world.host.process.said()):
        world.book.fault("the log says nothing of the damage")
    if kind == "bodies" and not lines:
        world.book.fault("damaged body files are not reported")


def _takes_new_mail(world: World) -> None:
    """A letter that is sent afterwards arrives."""
    from crash_senders import Sender

    fresh = Sender(world.book, world.port, 0, 99, "far.example")
    before = len(world.book.accepted)
    fresh.start()
    fresh.finish()
    fresh.join(30)
    if len(world.book.accepted) == before:
        world.book.fault("no new mail is accepted after the damage")
    world.empty(30)

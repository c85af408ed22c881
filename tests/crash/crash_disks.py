"""Disks that are full, read-only, or fail; a queue on a small file system of its own."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from crash_book import Book
from crash_host import Say, World

from live_servers import wait_for

STORAGE_FULL = "452 4.3.1"
_DISK_CALLS = "pwrite64,fsync,fdatasync,ftruncate"


class CannotRun(Exception):
    """This machine does not have what the scenario needs."""


@contextlib.contextmanager
def mounted(place: Path, *words: str) -> Iterator[None]:
    """`mount WORDS place`, taken away afterwards."""
    place.mkdir(parents=True, exist_ok=True)
    _run("mount", *words, str(place))
    try:
        yield
    finally:
        _run("umount", str(place))


def _run(*words: str, good: tuple[int, ...] = (0,)) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode not in good:
        raise CannotRun(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}")


def full(
    folder: Path, say: Say, *, seed: int = 1, by_itself: bool = True, size: str = "48m"
) -> Book:
    """452 4.3.1 while there is no space; with space again it goes on by itself.

    `by_itself`: afterwards the queue itself fills the disk, while its next hop defers all.
    """
    with (
        mounted(folder / "state", "-t", "tmpfs", "-o", f"size={size}", "tmpfs"),
        World(folder, seed=seed, relay=True) as world,
    ):
        world.accepts(20)
        _fill(folder / "state" / "other")
        world.refuses(20, STORAGE_FULL)
        _killed_while_full(world)
        (folder / "state" / "other").unlink()
        world.accepts(20)
        say(f"filled by others and emptied: {world.book.replies[STORAGE_FULL]} × {STORAGE_FULL}")
        if by_itself:
            _fill_by_itself(world, say)
        world.finish()
        world.leftovers()
    return world.book


def _fill_by_itself(world: World, say: Say) -> None:
    world.sink.always = "defer MAIL"
    world.refuses(50, STORAGE_FULL, seconds=90)
    _killed_while_full(world)
    world.sink.always = "take"
    world.accepts(20, 60)
    say(f"filled by the queue and emptied: {world.book.replies[STORAGE_FULL]} × {STORAGE_FULL}")


def _fill(path: Path) -> None:
    """Write until the disk is full to the last octet."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass


def _killed_while_full(world: World) -> None:
    """It lives, and starts again after a kill though there is no space."""
    world.alive()
    world.kill()
    before = len(world.host.process.said())
    try:
        world.start()
        wait_for(lambda: " ready: " in world.host.process.said()[before:], 5, "the log's `ready`")
    except AssertionError as wrong:
        world.book.fault(f"on a full disk: {wrong}")
        if world.host.process.process is None or world.host.process.process.poll() is not None:
            raise
    world.refuses(5, STORAGE_FULL)


def read_only(folder: Path, say: Say, *, seed: int = 1) -> Book:
    """The kernel makes the file system read-only under the host: 4xx, and nothing is lost."""
    image = folder / "image"
    folder.mkdir(parents=True, exist_ok=True)
    with image.open("wb") as file:
        file.truncate(256 << 20)
    _run("mkfs.ext4", "-q", "-F", str(image))
    world = World(folder, seed=seed, relay=True, always="")
    with contextlib.ExitStack() as stack:
        with mounted(folder / "state", "-o", "loop,errors=remount-ro", str(image)):
            stack.enter_context(world)
            world.accepts(50)
            _break(folder / "state")
            world.refuses(20, "451 4.3.0", "452 4.3.1", "451 4.3.5")
            world.alive()
            time.sleep(1)
            world.kill()
        # What it does to a journal that was cut off is what a restart of the machine does.
        _run("fsck.ext4", "-f", "-y", str(image), good=(0, 1))
        with mounted(folder / "state", "-o", "loop,ro", str(image)):
            _does_not_start(world, say)
        # The mount must go after the host.
        stack.enter_context(mounted(folder / "state", "-o", "loop", str(image)))
        stack.callback(world.kill)
        world.start()
        world.accepts(20)
        world.finish()
        world.leftovers()
        say(f"replies while it was read-only: {dict(world.book.replies)}")
    image.unlink()
    return world.book


def _break(place: Path) -> None:
    """Have ext4 find an error, for which it goes read-only at once."""
    lines = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    device = next(words[0] for words in lines if words[1] == os.path.realpath(place))
    trigger = Path("/sys/fs/ext4") / Path(device).name / "trigger_fs_error"
    try:
        trigger.write_text("crash test\n")
        (place / "probe").touch()
    except OSError as wrong:
        if wrong.errno != errno.EROFS:
            raise CannotRun(f"{trigger}: {wrong}") from wrong


def _does_not_start(world: World, say: Say) -> None:
    """A host whose state is read-only ends at once and says why."""
    before = len(world.host.process.said())
    world.host.process.start()
    process = world.host.process.process
    assert process is not None
    try:
        wait_for(lambda: process.poll() is not None, 20, "a host with read-only state to end")
    except AssertionError as wrong:
        world.book.fault(str(wrong))
        world.kill()
    said = world.host.process.said()[before:]
    reason = next((line for line in said.splitlines() if "not started" in line), "")
    if not reason or "Traceback" in said:
        world.book.fault(f"with read-only state the host said {said[-300:]!r}")
    say(reason.partition("] ")[2] or "no reason is told")


def failing(folder: Path, say: Say, *, seed: int = 1) -> Book:
    """Every write and sync fails with EIO for a while, at random times; it recovers by itself."""
    if shutil.which("strace") is None:
        raise CannotRun("strace is missing (Debian: apt-get install strace)")
    chance = random.Random(f"failing {seed}")
    with World(folder, seed=seed) as world:
        for round_number in range(3):
            world.accepts(20)
            with _failing_calls(world, "EIO" if round_number % 2 == 0 else "EROFS"):
                world.refuses(10, "451 4.3.0", "452 4.3.1")
                time.sleep(chance.uniform(0.0, 1.0))
                if round_number == 2:
                    world.kill()
            if round_number == 2:
                world.start()
            world.alive()
        world.accepts(20)
        world.finish()
        world.leftovers()
        say(f"replies: {dict(world.book.replies)}")
    return world.book


@contextlib.contextmanager
def _failing_calls(world: World, error: str) -> Iterator[None]:
    process = world.host.process.process
    assert process is not None
    strace = subprocess.Popen(
        ["strace", "-f", "-qq", "-p", str(process.pid), "-o", "/dev/null",
         "-e", f"trace={_DISK_CALLS}", "-e", f"inject={_DISK_CALLS}:error={error}"],
        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        strace.send_signal(signal.SIGINT)
        strace.wait()

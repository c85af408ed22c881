"""What the kernel is asked before a client reads 250, as strace sees it."""

from __future__ import annotations

import re
import shutil
import signal
import smtplib
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from crash_book import Book
from crash_disks import CannotRun
from crash_host import Say, World
from crash_letters import Letter

from live_servers import wait_for

_CALLS = "fsync,fdatasync,syncfs,rename,sendto,recvfrom,write,writev,unlink"
_LINE = re.compile(r"^(\d+) +(?:<\.\.\. )?(\w+)(.*)$")


@dataclass(frozen=True, slots=True)
class Call:
    """One call that has come back: what it was, and on what."""

    name: str
    words: str


def calls_of(trace: str) -> list[Call]:
    """The calls in the order in which they came back, those that failed left out."""
    begun: dict[str, str] = {}
    calls = []
    for line in trace.splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        thread, name, rest = found.groups()
        if rest.endswith("<unfinished ...>"):
            begun[thread] = rest
            continue
        if rest.lstrip().startswith("resumed>"):
            rest = begun.pop(thread, "") + rest
        if not re.search(r"= -1 ", rest):
            calls.append(Call(name, rest))
    return calls


def syncs(folder: Path, say: Say) -> Book:
    """A small and a large message: the log (and the file, and its folder) synced before 250."""
    if shutil.which("strace") is None:
        raise CannotRun("strace is missing (Debian: apt-get install strace)")
    with World(folder, clients=1) as world:
        world.senders[0].give_up()
        world.senders[0].join(30)
        sizes = {size: _letter(size) for size in (4_000, 600_000)}
        for size, letter in sizes.items():
            calls = _traced(world, folder / f"trace-{size}", letter)
            for wrong in _wrong(calls, large=size > 256 << 10):
                world.book.fault(f"{size} octets: {wrong}")
            names = [f"{call.name} {_place(call.words)}" for call in _before_250(calls)]
            say(f"{size} octets: {', '.join(names)}, then 250")
        world.finish()
        world.leftovers()
    return world.book


def _letter(about: int) -> Letter:
    """One of about that size."""
    letters = (Letter(1, 500, number) for number in range(1000))
    return min(letters, key=lambda letter: abs(letter.size - about))


def _traced(world: World, output: Path, letter: Letter) -> list[Call]:
    """Send it to a host under strace; the calls until it is in its mailbox."""
    process = world.host.process.process
    assert process is not None
    # What came before it must be done, or its last calls were taken for this one's.
    wait_for(lambda: world.harvest() or not world.book.missing(), 20, "the deliveries before")
    time.sleep(0.5)
    strace = subprocess.Popen(
        ["strace", "-f", "-y", "-s", "24", *_attached(process.pid), "-o", output,
         "-e", f"trace={_CALLS}"],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert strace.stderr is not None
    strace.stderr.readline()  # "Process N attached"
    time.sleep(0.3)
    with smtplib.SMTP("127.0.0.1", world.port, timeout=60) as client:
        client.sendmail("sender@ours.example", ["box0@ours.example"], letter.octets())
    world.book.promise(letter, ("box0@ours.example",))
    wait_for(lambda: world.harvest() or not world.book.missing(), 20, "the delivery")
    time.sleep(0.5)
    strace.send_signal(signal.SIGINT)
    strace.wait()
    return calls_of(output.read_text(errors="replace"))


def _attached(pid: int) -> list[str]:
    """The words that have strace follow this process and its children, as Maildirs have one."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [word for each in (str(pid), *children) for word in ("-p", each)]


def _before_250(calls: list[Call]) -> list[Call]:
    """The syncs between the last octets of the content and the 250 to them."""
    answers = [at for at, call in enumerate(calls) if _is_answer(call)]
    # 250 to EHLO, MAIL and RCPT; 354; then the one that promises.
    promise = answers[-1] if answers else len(calls)
    received = max(
        (at for at, call in enumerate(calls[:promise]) if call.name == "recvfrom"), default=0
    )
    return [call for call in calls[received:promise] if "sync" in call.name]


def _is_answer(call: Call) -> bool:
    return call.name in ("sendto", "write", "writev") and '"250 ' in call.words


def _place(words: str) -> str:
    path = re.search(r"<([^>]*)>", words)
    return Path(path[1]).name if path else "?"


def _wrong(calls: list[Call], large: bool) -> list[str]:
    """What is not in the order that makes a 250 true."""
    before = [_place(call.words) for call in _before_250(calls)]
    wrong = [] if "queue.db-wal" in before else [f"250 before the log was synced: {before}"]
    if large:
        log = before.index("queue.db-wal") if not wrong else len(before)
        names = before[:log]
        if not any(name.endswith(".body") for name in names):
            wrong.append(f"the log was synced before the body: {before}")
        if "bodies" not in names:
            wrong.append(f"the log was synced before the bodies' folder: {before}")
    moved = next((at for at, call in enumerate(calls) if call.name == "rename"), None)
    if moved is None:
        return [*wrong, "no file was moved into new"]
    synced = [_place(call.words) for call in calls[:moved] if "sync" in call.name]
    if not any(name in calls[moved].words for name in synced if name):
        wrong.append("a file was moved into new before it was synced")
    if not any(_place(call.words) == "new" for call in calls[moved:] if "sync" in call.name):
        wrong.append("the folder new was not synced after the file came")
    return wrong

"""Compares start, claims, memory, accept rate and listings of a large queue with an empty one.

    python benchmarks/large_queue.py [--messages 100000] [--size 4096] [--folder F] [--json FILE]
    python benchmarks/large_queue.py dead [--messages 50000] [--how refuses|silent]

The first command fills a SQLite store (`--folder` keeps it for the next run). It starts a real
`twistd -n mailframe` on it and another on an empty store, sends mail to both in turns with
`smtp-source` (which comes with Postfix), and runs `mailframe queue`. With `dead`, so many messages
are due for one host that cannot be reached, and the time that live mail takes is measured.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "live"))

import beside_dead_host
from load import send
from peers.mailframe import settings
from queue_filling import fill, forget_pages, opened

from live_servers import MAILFRAME, Host, answers, wait_for

DAY = 86400.0
HOUR = 3600.0


def addresses(number: int, needle: int) -> tuple[str, str]:
    """Sender and recipient, in a thousand domains. One sender has only one message."""
    sender = "once@needle.example" if number == needle else f"s{number % 5000}@client.example"
    return sender, f"u{number % 7919}@d{number % 1000}.example"


def claims(folder: Path, say: dict[str, Any]) -> None:
    """Milliseconds that claims of 50 take: a few due, all due, most of them excluded."""
    with opened(folder) as ledger:
        first = ledger.next_due() or 0.0
        half = frozenset(f"d{number}.example" for number in range(500))
        for name, now, excluding in (
            ("claim, the first due", first + HOUR / 10, frozenset[str]()),
            ("claim, all due", time.time() + 30 * DAY, frozenset[str]()),
            ("claim, half of the domains left out", time.time() + 30 * DAY, half),
        ):
            times, ids = [], list[str]()
            for _ in range(40):
                ledger.begin()
                start = time.perf_counter()
                found = ledger.claim(now, 50, now + 300, excluding, lambda body: lambda: body)  # type: ignore[arg-type,return-value]
                times.append((time.perf_counter() - start) * 1000)
                ids += [entry.id for entry in found]
                ledger.commit()
            ledger.begin()
            ledger.release(ids)
            ledger.commit()
            say[f"{name}: median ms"] = round(statistics.median(times), 2)
            say[f"{name}: slowest ms"] = round(max(times), 2)


def megabytes(pid: int) -> float:
    """The peak resident memory of this process; 0.0 if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        return round(int(status.split("VmHWM:")[1].split()[0]) / 1024, 1)
    except (OSError, IndexError):
        return 0.0


def memory(host: Host) -> float:
    """The peak resident memory of this host, in megabytes."""
    assert host.process.process is not None
    return megabytes(host.process.process.pid)


def start(host: Host) -> float:
    """Seconds from the command line to the first greeting."""
    (host.state / "ports").unlink(missing_ok=True)
    began = time.perf_counter()
    host.process.start()
    wait_for(host.ports, 300)
    assert answers(host.port()), host.process.said()
    return round(time.perf_counter() - began, 2)


def command(host: Host, *words: str) -> tuple[float, float, int]:
    """Run the command; its seconds, its megabytes, and how many lines it printed."""
    began = time.perf_counter()
    process = subprocess.Popen([MAILFRAME, "-c", host.config, *words], stdout=subprocess.PIPE)
    assert process.stdout is not None
    lines, most = 0, 0.0
    for _ in process.stdout:
        if lines % 1000 == 0:
            most = max(most, megabytes(process.pid))
        lines += 1
    assert process.wait() == 0, words
    return round(time.perf_counter() - began, 2), most, lines


LISTINGS = {
    "queue list": ("queue", "list"),
    "queue summary": ("queue", "summary"),
    "queue list --address (one message)": ("queue", "list", "--address", "once@needle.example"),
    "queue list --address (a domain)": ("queue", "list", "--address", "@d77.example"),
    "queue list --limit 0 --json": ("queue", "list", "--limit", "0", "--json"),
}


def large(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the first benchmark; the figures by name."""
    say: dict[str, Any] = {"messages": options.messages, "octets": options.size}
    queue = folder / "full" / "state" / "queue"
    queue.mkdir(parents=True, exist_ok=True)
    chance = random.Random(1)
    later = time.time() + 2 * HOUR  # no later than the retry schedule allows
    fill(
        queue,
        options.messages,
        options.size,
        lambda number: addresses(number, options.messages // 2),
        lambda _: later + chance.random() * 2 * HOUR,
    )
    claims(queue, say)
    forget_pages(queue)
    with ExitStack() as stack:
        hosts = {}
        for name in ("empty", "full"):
            host = hosts[name] = Host(folder / name, settings("discard"), mailboxes="box\n")
            stack.callback(host.__exit__)
            say[f"start, {name}: s"] = start(host)
            say[f"memory after the start, {name}: MB"] = memory(host)
        accept(hosts, options.rounds, options.sent, say)
        forget_pages(queue)
        for name, words in LISTINGS.items():
            seconds, most, lines = command(hosts["full"], *words)
            say[f"{name}: s"] = seconds
            say[f"{name}: MB of its own"] = most
            say[f"{name}: lines"] = lines
        say["memory in the end, full: MB at most"] = memory(hosts["full"])
    return say


def accept(hosts: dict[str, Host], rounds: int, messages: int, say: dict[str, Any]) -> None:
    """Send mail to both in turns, with a connection for each message and with reused ones."""
    ratios = []
    for reuse in (False, True):
        rates: dict[str, list[float]] = {name: [] for name in hosts}
        for _ in range(rounds):
            for name, host in hosts.items():
                began = time.perf_counter()
                send(host.port(), messages, 4096, reuse=reuse)
                rates[name].append(messages / (time.perf_counter() - began))
        kind = "reused" if reuse else "new"
        for name in hosts:
            rate = round(statistics.median(rates[name]))
            say[f"accepted, {name}, {kind} connections: /s"] = rate
        ratios += [full / empty for full, empty in zip(rates["full"], rates["empty"], strict=True)]
    say["accepted, full to empty: median ratio"] = round(statistics.median(ratios), 2)


def main() -> None:
    """Run what was asked for, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=("large", "dead"), default="large")
    parser.add_argument("--messages", type=int)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sent", type=int, default=3000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--how", choices=beside_dead_host.WAYS, default="refuses")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as passing:
        folder = (options.folder or Path(passing)).absolute()
        if options.what == "dead":
            say = beside_dead_host.run(folder, options.messages or 50_000, options.how)
        else:
            options.messages = options.messages or 100_000
            say = large(options, folder)
    for name, value in say.items():
        print(f"{name:58} {value:>10}")
    if options.json is not None:
        options.json.write_text(json.dumps(say))


if __name__ == "__main__":
    main()

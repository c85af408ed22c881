"""Measures the memory that idle sessions take, and how long new clients wait beside them.

    python -m benchmarks.idle [--sessions 2000 10000] [--fresh 300] [--tls] [--json FILE]

It starts a real twistd with the SQLite queue. Each idle session has been greeted and has sent EHLO
(with --tls after STARTTLS). A new client connects, sends one durable message and leaves; its time
is that of the whole session. The goals are 25 KB for each session, and a p99 under 50 ms.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import socket
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "live"))

from live_servers import Host

from .client import bring, commands, say, trusting
from .peers.mailframe import settings
from .peers.running import certificate
from .watch import usage

FRESH = commands(64)


def idle(port: int, context: ssl.SSLContext | None) -> socket.socket:
    """A session that has sent EHLO and nothing else."""
    sock: socket.socket = socket.create_connection(("127.0.0.1", port), 30)
    say(sock, b"")
    say(sock, b"EHLO idle.example\r\n")
    if context is not None:
        say(sock, b"STARTTLS\r\n")
        sock = context.wrap_socket(sock)
        say(sock, b"EHLO idle.example\r\n")
    return sock


def memory(pid: int) -> int:
    """The octets of memory that the process takes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def host() -> Iterator[Host]:
    """A host in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="mailframe-idle-") as folder:
        certificate(Path(folder))
        with Host(Path(folder), settings("tls"), mailboxes="box\n") as running:
            yield running


def measure(sessions: int, clients: int, in_tls: bool) -> dict[str, Any]:
    """Measure one row of the table, on a host that has just started."""
    context = trusting() if in_tls else None
    with host() as running, contextlib.ExitStack() as crowd:
        port = running.port()
        assert running.process.process is not None
        pid = running.process.process.pid
        for _ in range(50):
            bring(port, FRESH)
        before = memory(pid)
        for _ in range(sessions):
            crowd.enter_context(idle(port, context))
        time.sleep(2)
        each = (memory(pid) - before) / sessions / 1024
        busy = usage(pid).cpu
        time.sleep(5)
        busy = (usage(pid).cpu - busy) / 5
        times = sorted(bring(port, FRESH) * 1000 for _ in range(clients))
    return {
        "sessions": sessions,
        "tls": in_tls,
        "kilobytes_each": round(each, 1),
        "cpu_percent_idle": round(busy * 100, 1),
        "fresh_p50_ms": round(statistics.median(times), 1),
        "fresh_p99_ms": round(times[int(len(times) * 0.99) - 1], 1),
    }


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print the table."""
    names = list(rows[0])
    print("  ".join(f"{name:>16}" for name in names))
    for row in rows:
        print("  ".join(f"{row[name]!s:>16}" for name in names))


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, nargs="+", default=[0, 2000, 10000])
    parser.add_argument("--fresh", type=int, default=300, help="fresh clients to time")
    parser.add_argument("--tls", action="store_true", help="idle sessions inside of TLS")
    parser.add_argument("--json", type=Path, help="write the rows there, too")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < max(options.sessions) + 200:
        sys.exit(f"{max(options.sessions)} sessions need more open files than {hard} (ulimit -n)")
    rows = []
    for sessions in options.sessions:
        rows.append(measure(max(sessions, 1), options.fresh, options.tls))
        print(rows[-1], flush=True)
    show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()

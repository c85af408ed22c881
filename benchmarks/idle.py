"""What idle sessions cost: memory of each, and how long fresh clients wait beside them.

    python benchmarks/idle.py [--sessions 2000 10000] [--fresh 300] [--tls] [--json FILE]

A real twistd with the SQLite queue. Each idle session has been greeted and has said EHLO (with
--tls inside of TLS, by STARTTLS). A fresh client connects, sends one durable message and
leaves; its time is that of the whole session. The goal: 25 KB each, p99 under 50 ms.
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
from mailframe.testing.certificates import make_authority

TOML = """
hostname = "mx.bench.example"
state = "state"
[tls]
certificates = "certificates"
[limits]
connections = 50000
connections_per_client = 50000
[[listen]]
name = "mx"
endpoint = "tcp:0:interface=127.0.0.1:backlog=1000"
[[relay]]
plugin = "inbound"
domains = ["bench.example"]
[[route]]
plugin = "mailboxes"
domains = ["bench.example"]
file = "mailboxes"
deliver = "discard"
[queue]
plugin = "sqlite"
[deliver.discard]
plugin = "discard"
"""
CONVERSATION = (
    b"", b"EHLO fresh.example\r\n", b"MAIL FROM:<a@client.example>\r\n",
    b"RCPT TO:<box@bench.example>\r\n", b"DATA\r\n",
    b"Subject: fresh\r\n\r\n" + b"x" * 70 + b"\r\n.\r\n", b"QUIT\r\n",
)  # fmt: skip


def say(sock: socket.socket, octets: bytes) -> bytes:
    """Send, and read one whole reply."""
    if octets:
        sock.sendall(octets)
    heard = b""
    while not (heard.endswith(b"\r\n") and heard.splitlines()[-1][3:4] == b" "):
        piece = sock.recv(4096)
        if not piece:
            raise ConnectionError(f"the server hung up after {heard!r}")
        heard += piece
    if heard[:1] not in b"23":
        raise ConnectionError(heard.decode())
    return heard


def fresh(port: int) -> float:
    """Milliseconds of a whole session with one message."""
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), 30) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octets in CONVERSATION:
            say(sock, octets)
    return (time.perf_counter() - began) * 1000


def idle(port: int, context: ssl.SSLContext | None) -> socket.socket:
    """A session that has said EHLO, and no more."""
    sock: socket.socket = socket.create_connection(("127.0.0.1", port), 30)
    say(sock, b"")
    say(sock, b"EHLO idle.example\r\n")
    if context is not None:
        say(sock, b"STARTTLS\r\n")
        sock = context.wrap_socket(sock)
        say(sock, b"EHLO idle.example\r\n")
    return sock


def memory(pid: int) -> int:
    """Octets that the process has in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu(pid: int) -> float:
    """Seconds of processor time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def host() -> Iterator[Host]:
    """A host in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="mailframe-idle-") as folder:
        make_authority().issue("mx.bench.example").write_live(Path(folder) / "certificates")
        with Host(Path(folder), TOML, mailboxes="box\n") as running:
            yield running


def measure(sessions: int, clients: int, in_tls: bool) -> dict[str, Any]:
    """One row of the table, on a host that has just begun."""
    context = ssl._create_unverified_context() if in_tls else None
    with host() as running, contextlib.ExitStack() as crowd:
        port = running.port()
        assert running.process.process is not None
        pid = running.process.process.pid
        for _ in range(50):
            fresh(port)
        before = memory(pid)
        for _ in range(sessions):
            crowd.enter_context(idle(port, context))
        time.sleep(2)
        each = (memory(pid) - before) / sessions / 1024
        busy = cpu(pid)
        time.sleep(5)
        busy = (cpu(pid) - busy) / 5
        times = sorted(fresh(port) for _ in range(clients))
    return {
        "sessions": sessions,
        "tls": in_tls,
        "kilobytes_each": round(each, 1),
        "cpu_percent_idle": round(busy * 100, 1),
        "fresh_p50_ms": round(statistics.median(times), 1),
        "fresh_p99_ms": round(times[int(len(times) * 0.99) - 1], 1),
    }


def show(rows: Sequence[dict[str, Any]]) -> None:
    """The table."""
    names = list(rows[0])
    print("  ".join(f"{name:>16}" for name in names))
    for row in rows:
        print("  ".join(f"{row[name]!s:>16}" for name in names))


def main() -> None:
    """Measure and show."""
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

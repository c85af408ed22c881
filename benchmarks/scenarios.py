"""What is measured: each scenario is one task, sent in one way."""

from __future__ import annotations

import shutil
import socket
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass

from . import load
from .load import Probe, Sink
from .peers import Running
from .watch import Peak, usage

IDLE = 80  # sessions; Postfix takes 100 at once, one process for each


@dataclass(frozen=True)
class Scenario:
    """`share` of the messages that the run is asked for; `size` octets of each."""

    name: str
    task: str
    reuse: bool = False
    size: int = 4096
    share: float = 1.0
    sessions: int = load.SESSIONS


@dataclass(frozen=True)
class Figures:
    """One round. `delivered` is messages a second until the last one had arrived."""

    messages: float  # accepted a second
    delivered: float | None
    cpu: float  # server's seconds for 1,000 messages
    memory: float  # octets, the peak
    p50: float  # seconds that one more client's message took
    p99: float


SCENARIOS = (
    Scenario("accept, new connections", "discard"),
    Scenario("accept, reused connections", "discard", reuse=True),
    Scenario("to Maildir, new connections", "maildir"),
    Scenario("to Maildir, reused connections", "maildir", reuse=True),
    Scenario("relay, new connections", "relay"),
    Scenario("relay, reused connections", "relay", reuse=True),
    Scenario("10 MB messages", "discard", size=10 << 20, share=0.02, sessions=4),
    Scenario("STARTTLS, new connections", "tls", share=0.3),
)


def play(scenario: Scenario, server: Running, sink: Sink, messages: int) -> Figures:
    """One round against one server."""
    count = max(20, int(messages * scenario.share))
    arrived = {"maildir": server.delivered, "relay": sink.received}.get(scenario.task)
    before = arrived() if arrived else 0
    spent = usage(server.pid).cpu
    start = time.perf_counter()
    with Peak(server.pid) as peak, Probe(server.port) as probe:
        if scenario.task == "tls":
            load.send_over_tls(server.port, count, scenario.size, scenario.sessions)
        else:
            load.send(server.port, count, scenario.size, reuse=scenario.reuse,
                      sessions=scenario.sessions)  # fmt: skip
        took = time.perf_counter() - start
    total = count + len(probe.waits)
    delivered = None
    if arrived:
        load.until(arrived, before + total)
        delivered = total / (time.perf_counter() - start)
    cpu = (usage(server.pid).cpu - spent) / total * 1000
    if scenario.task == "maildir":
        shutil.rmtree(server.maildir / "new")
        (server.maildir / "new").mkdir()
        shutil.copymode(server.maildir / "cur", server.maildir / "new")
        stat = (server.maildir / "cur").stat()
        shutil.chown(server.maildir / "new", stat.st_uid, stat.st_gid)
    waits = sorted(probe.waits) or [float("nan")]
    return Figures(
        count / took,
        delivered,
        cpu,
        peak.octets,
        statistics.median(waits),
        waits[int(len(waits) * 0.99)],
    )


def idle(server: Running, sessions: int = IDLE, seconds: float = 3.0) -> dict[str, float]:
    """What it costs to stand there: `cpu` is seconds a minute, `session` octets for each."""
    alone = usage(server.pid, memory=True)
    with ExitStack() as stack:
        for _ in range(sessions):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            client.recv(1024)
        begun = usage(server.pid, memory=True)
        time.sleep(seconds)
        ended = usage(server.pid)
    return {
        "memory": alone.memory,
        "session": (begun.memory - alone.memory) / sessions,
        "cpu": (ended.cpu - begun.cpu) / seconds * 60,
    }

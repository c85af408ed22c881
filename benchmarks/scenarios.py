"""The scenarios that are measured. Each is one task, with mail sent in one way."""

from __future__ import annotations

import socket
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass

from . import load
from .client import Probe
from .load import Sink
from .peers import Running
from .watch import Peak, settle, usage

IDLE = 80  # sessions; Postfix accepts 100 at once, with one process for each
BIG = 50_000_000  # octets


@dataclass(frozen=True)
class Scenario:
    """Messages of `size` octets over so many sessions.

    A round has `count` messages, or as many as the server accepts in the time of a round.
    """

    name: str
    task: str
    reuse: bool = False
    size: int = 4096
    sessions: int = load.SESSIONS
    count: int | None = None


@dataclass(frozen=True)
class Figures:
    """The figures of one round. `delivered` is messages a second until the last one arrived."""

    sent: int
    messages: float  # accepted a second
    delivered: float | None
    cpu: float  # seconds of the server for 1,000 messages
    cores: float  # that the server kept busy while it accepted
    memory: float  # octets, the peak
    grown: float  # octets, the peak above the memory before the first round
    p50: float  # seconds that a message of the additional client took
    p99: float
    load: float  # cores that the load generator kept busy
    watch: float  # cores that the additional client and measuring the memory took


SCENARIOS = (
    Scenario("accept, new connections", "discard"),
    Scenario("accept, reused connections", "discard", reuse=True),
    Scenario("to Maildir, new connections", "maildir"),
    Scenario("to Maildir, reused connections", "maildir", reuse=True),
    Scenario("relay, new connections", "relay"),
    Scenario("relay, reused connections", "relay", reuse=True),
    Scenario("10 MB messages", "discard", size=10 << 20, sessions=4),
    Scenario("STARTTLS, new connections", "tls"),
    Scenario("50 MB messages, one at a time", "big", size=BIG, sessions=1, count=3),
    Scenario("50 MB messages, four at once", "big", size=BIG, sessions=4, count=8),
)


def send(scenario: Scenario, server: Running, count: int) -> float:
    """Send so many messages; the seconds of CPU time that sending them took."""
    sessions = min(scenario.sessions, server.sessions)
    if scenario.task == "tls":
        return load.send_over_tls(server.port, count, scenario.size, sessions)
    return load.send(server.port, count, scenario.size, reuse=scenario.reuse, sessions=sessions)


def play(scenario: Scenario, server: Running, sink: Sink, count: int, idle: float) -> Figures:
    """Measure one round of one server. `idle` is its memory before the first round."""
    arrived = {"maildir": server.delivered, "relay": sink.received}.get(scenario.task)
    before = arrived() if arrived else 0
    spent = usage(server.pid).cpu
    start = time.perf_counter()
    tls = scenario.task == "tls"
    with Peak(server.pid) as peak, Probe(server.port, tls=tls) as probe:
        generator = send(scenario, server, count)
        took = time.perf_counter() - start
        busy = usage(server.pid).cpu - spent
    total = count + len(probe.waits)
    delivered = None
    if arrived:
        load.until(arrived, before + total)
        delivered = total / (time.perf_counter() - start)
    cpu = (settle(server.pid) - spent) / total * 1000
    if scenario.task == "maildir":
        server.empty()
    waits = sorted(probe.waits)
    return Figures(
        sent=count,
        messages=count / took,
        delivered=delivered,
        cpu=cpu,
        cores=busy / took,
        memory=peak.octets,
        grown=peak.octets - idle,
        p50=statistics.median(waits),
        p99=waits[int(len(waits) * 0.99)],
        load=generator / took,
        watch=(probe.cpu + peak.cpu) / took,
    )


def idle(server: Running, sessions: int = IDLE, seconds: float = 3.0) -> dict[str, float]:
    """Measure a server with idle sessions: `cpu` is seconds a minute, `session` octets for each."""
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

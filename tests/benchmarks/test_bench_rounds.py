"""The rounds of the benchmarks: how many messages, in which order, and who is left out."""

from __future__ import annotations

import contextlib
import types
from dataclasses import replace

import pytest

import benchmarks.__main__ as bench
from benchmarks.peers import Running
from benchmarks.scenarios import SCENARIOS, Figures
from benchmarks.table import Results

SCENARIO = SCENARIOS[0]
ROUND = Figures(
    sent=40, messages=1000.0, delivered=None, cpu=0.3, cores=0.5, memory=1.0, grown=1.0,
    p50=0.002, p99=0.02, load=0.1, watch=0.02,
)  # fmt: skip


@pytest.fixture
def played(monkeypatch, tmp_path):
    """Three servers that run at once; (its port, messages) of each play."""
    plays = []

    def play(scenario, server, sink, count, idle):
        plays.append((server.port, count))
        if server.port == 3:
            raise ConnectionError("421 go away")
        return replace(ROUND, sent=count, delivered=50.0 if server.port == 2 else None)

    monkeypatch.setattr(bench, "play", play)
    servers = {name: Running(port, 0, tmp_path) for port, name in enumerate("abc", 1)}
    memory = dict.fromkeys(servers, 0.0)
    return plays, bench.Bench(None, servers, Results(), 3.0, 0.0, memory)


def test_a_round_takes_as_long_with_everybody(played) -> None:
    """Messages are counted by the slower of accepting and delivering, after a short try."""
    plays, one = played
    one.a_round(1, SCENARIO)
    assert plays[:4] == [(1, 80), (1, 3000), (2, 80), (2, 150)]
    assert [each.sent for each in one.results.rounds[SCENARIO.name, "a"]] == [3000]


def test_another_one_begins_each_round(played) -> None:
    """Nobody always runs behind the same one."""
    plays, one = played
    one.servers.pop("c")
    one.a_round(1, SCENARIO)
    one.a_round(2, SCENARIO)
    assert [port for port, count in plays if count != 80] == [1, 2, 2, 1]


def test_who_fails_is_left_out(played) -> None:
    """The others go on, and the failure is in the results."""
    plays, one = played
    one.a_round(1, SCENARIO)
    one.a_round(2, SCENARIO)
    assert [port for port, _ in plays].count(3) == 1
    assert one.results.failed == [f"{SCENARIO.name}: c: ConnectionError('421 go away')"]
    assert (SCENARIO.name, "c") not in one.results.rounds
    assert len(one.results.rounds[SCENARIO.name, "a"]) == 2


def test_a_count_of_its_own_is_kept(played) -> None:
    """Where memory is measured, the same messages go to everybody."""
    plays, one = played
    one.servers.pop("c")
    one.a_round(1, replace(SCENARIO, count=8))
    assert plays == [(1, 8), (2, 8)]


def test_who_does_not_start_is_left_out(monkeypatch, tmp_path) -> None:
    """A peer that is broken here stops nobody; one that is not installed is no failure."""

    @contextlib.contextmanager
    def peer(folder, task, sink):
        if folder.name == "broken":
            raise AssertionError("no such user")
        yield None if folder.name == "missing" else Running(1, 2, folder)

    names = ["broken", "missing", "well"]
    monkeypatch.setattr(bench, "PEERS_BY_NAME", dict.fromkeys(names, peer))
    results = Results()
    with contextlib.ExitStack() as stack:
        sink = types.SimpleNamespace(port=0)
        servers = bench.ready(stack, tmp_path, "tls", sink, names, results)
    assert list(servers) == ["well"]
    assert results.failed == ["tls: broken: AssertionError('no such user')"]

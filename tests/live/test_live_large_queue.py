"""The benchmarks of large queues, with a few thousand messages."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import beside_dead_host
import large_queue

pytestmark = pytest.mark.live


@pytest.mark.parametrize("how", beside_dead_host.WAYS)
def test_a_dead_host_delays_nobody(tmp_path, how):
    """Thousands of messages that are due for it leave the living theirs, old mail and new."""
    say = beside_dead_host.run(tmp_path, 5000, how, live=40)
    assert say["not arrived within two minutes, beside them"] == 0
    assert say["live mail, beside them: median ms"] < 1000
    assert say["500 that waited for the living host, beside them: last after s"] < 20
    # Each of the dead has not been tried: a few were, before it was left alone.
    if how == "refuses":
        said = (tmp_path / "beside-them" / "output").read_text()
        assert said.count("left alone for") >= 1


def test_a_large_queue(tmp_path):
    """It starts, claims, accepts and is listed; the benchmark says how well."""
    options = argparse.Namespace(messages=3000, size=1024, rounds=1, sent=200)
    say = large_queue.large(options, tmp_path)
    assert say["queue list: lines"] == 200
    assert say["queue list --limit 0 --json: lines"] == 3000
    assert say["queue list --address (one message): lines"] == 2
    assert say["start, full: s"] < 10
    assert say["memory in the end, full: MB at most"] < 150

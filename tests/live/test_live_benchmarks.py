"""The benchmarks themselves, with a few messages: what is documented can be run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.live
HOUSE = Path(__file__).parents[2]


def run(file: Path, *words: str) -> dict:
    """What it wrote as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", *words, "--json", file],
        cwd=HOUSE, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(file.read_text())


def test_mailframe_beside_postfix(tmp_path):
    """One short round over TLS: both are measured and compared."""
    words = ["--rounds", "1", "--seconds", "0.2", "--only", "STARTTLS"]
    peers = ["--peers", "postfix,mailframe,mailframe-2"]
    said = run(tmp_path / "figures", "benchmarks", *words, *peers)
    rounds = {each["server"]: each["rounds"][0] for each in said["scenarios"]}
    assert set(rounds) == {"postfix", "mailframe", "mailframe-2"}
    for one in rounds.values():
        assert one["messages"] > 0
        assert one["cpu"] > 0
        assert one["memory"] > 1 << 20
        assert 0 < one["p50"] <= one["p99"]
    assert [goal["beside"] for goal in said["goals"]] == ["postfix", "mailframe"]


def test_connections_during_reloads(tmp_path):
    """All are counted, and none is lost."""
    words = ["--connections", "300", "--at-once", "20", "--linger", "0.2"]
    said = run(tmp_path / "figures", "benchmarks.reloads", *words)
    assert said["accepted"] == said["delivered"] == 300
    assert said["reloads"] >= 1
    assert said["troubles"] == {}


def test_idle_sessions(tmp_path):
    """Memory and waits beside a few of them."""
    words = ["--sessions", "50", "--fresh", "20"]
    (row,) = run(tmp_path / "figures", "benchmarks.idle", *words)
    assert row["sessions"] == 50
    assert row["kilobytes_each"] < 100
    assert 0 < row["fresh_p50_ms"] <= row["fresh_p99_ms"]

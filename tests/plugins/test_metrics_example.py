"""The example of an observer keeps the contract, and writes what Prometheus can read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from example_files import load
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailframe.message import Event
from mailframe.plugin import SettingError
from mailframe.testing.hooks import result_of
from mailframe.testing.plugins import ObserverContract
from mailframe.testing.values import site

METRICS: Any = load("metrics/metrics.py")
#: A line of the text format: a comment, or name{label="value",...} number.
LINE = re.compile(r'# .*|\w+\{(?:\w+="(?:[^"\\\n]|\\[\\"n])*",?)+\} \d+')
SUMMARY = [{"counts": {"messages": 3, "held": 1}, "next_due": 7.0}]


def metrics(folder: Path, **lent: Any) -> Any:
    settings = METRICS.Metrics.Settings(folder / "mailframe.prom", 15.0)
    return METRICS.Metrics(settings, site(**{"ask": lambda question: SUMMARY, **lent}))


class TestMetrics(ObserverContract, SynchronousTestCase):
    def make(self) -> Any:
        return metrics(site().folder)


def written(folder: Path, worker: int = 0) -> list[str]:
    return (folder / f"mailframe.{worker}.prom").read_text("utf-8").splitlines()


def test_it_counts_and_writes_while_the_host_runs(tmp_path: Path) -> None:
    """By stage, plugin and verdict; of a reply the code is enough."""
    clock = Clock()
    observer = metrics(tmp_path, reactor=clock)
    observer.startService()
    for words in ("550 5.7.1 Relaying denied", "550 5.1.1 Nobody", "250 2.1.5 OK"):
        observer.observe(Event(1.0, "relay", words, "inbound"))
    clock.advance(14)
    assert list(tmp_path.iterdir()) == []
    clock.advance(1)
    head = 'mailframe_decisions_total{stage="relay",plugin="inbound",verdict='
    assert f'{head}"550",worker="0"}} 2' in written(tmp_path)
    assert f'{head}"250",worker="0"}} 1' in written(tmp_path)
    assert 'mailframe_queue{what="messages",worker="0"} 3' in written(tmp_path)


def test_each_line_is_one_of_the_format(tmp_path: Path) -> None:
    """Whatever a plugin's verdict is."""
    observer = metrics(tmp_path, worker=2)
    for verdict in ('say "x"', "back\\slash", "two\nlines", "ü"):
        observer.observe(Event(1.0, "serve", verdict, "own"))
    result_of(observer.stopService())
    lines = written(tmp_path, worker=2)
    assert len(lines) == 4 + 4 + 2
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    assert all('worker="2"' in line for line in lines if line[0] != "#")


def test_the_last_numbers_are_written_at_the_stop(tmp_path: Path) -> None:
    """After what is being written."""
    writing: list[Deferred[None]] = []

    def in_thread(write: Any, *arguments: Any) -> Deferred[None]:
        writing.append(Deferred())
        return writing[-1].addCallback(lambda _: write(*arguments))

    clock = Clock()
    observer = metrics(tmp_path, reactor=clock, in_thread=in_thread)
    observer.startService()
    clock.advance(15)
    observer.observe(Event(1.0, "queue", "finished"))
    stopped = observer.stopService()
    assert len(writing) == 1
    writing[0].callback(None)
    assert len(writing) == 2 and not stopped.called
    writing[1].callback(None)
    assert result_of(stopped) is None
    assert any('"finished"' in line for line in written(tmp_path))
    clock.advance(60)
    assert len(writing) == 2


def test_counters_have_a_limit(tmp_path: Path) -> None:
    """What is beyond it is counted together."""
    observer = metrics(tmp_path)
    for number in range(METRICS.MOST + 50):
        observer.observe(Event(1.0, "serve", f"verdict {number}"))
    result_of(observer.stopService())
    assert len(written(tmp_path)) < METRICS.MOST + 20
    other = 'mailframe_decisions_total{stage="serve",plugin="",verdict="other",worker="0"} 50'
    assert other in written(tmp_path)


class TestFailures(SynchronousTestCase):
    def test_a_disk_that_fails_ends_nothing(self) -> None:
        """It is logged, and tried again at the next turn."""
        clock, folder, turns = Clock(), site().folder, []

        def in_thread(*work: Any) -> Deferred[None]:
            turns.append(work)
            return fail(OSError("No space left on device"))

        observer = metrics(folder, reactor=clock, in_thread=in_thread)
        observer.startService()
        clock.pump([15.0] * 3)
        assert len(turns) == 3
        assert len(self.flushLoggedErrors(OSError)) == 3


def test_a_name_that_no_exporter_reads_is_refused(tmp_path: Path) -> None:
    """By the setting's name."""
    with pytest.raises(SettingError) as wrong:
        METRICS.Metrics(METRICS.Metrics.Settings(tmp_path / "metrics.txt"), site())
    assert wrong.value.key == "file"

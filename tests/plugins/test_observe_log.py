"""`[[observe]] plugin = "log"`: JSON lines."""

from __future__ import annotations

import json
import os
from pathlib import Path
from select import PIPE_BUF
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailframe.message import Event
from mailframe.plugin import SettingError
from mailframe.testing.hooks import result_of
from mailframe.testing.plugins import ObserverContract
from mailframe.testing.values import site
from mailframe_plugins.observe_log import Log, Settings, _pieces, line

NOW = 1763840000.25


class TestContract(ObserverContract, SynchronousTestCase):
    def make(self) -> Log:
        return Log(Settings(), site())


def log(folder: Path, clock: Clock, **settings: Any) -> Log:
    lent = site(folder, reactor=clock)
    return Log(Settings(**{"file": "log.json", **settings}), lent)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(each) for each in file.read_text("ascii").splitlines()]


def test_a_line_says_who_decided_what_when() -> None:
    """Core fields, then the facts; empty ones are left out."""
    facts = {"recipient": "b@x.example", "signals": {"spf": "fail"}, "time": "yesterday"}
    event = Event(NOW, "relay", "550 5.7.1 No", "networks", "M1", "S1", 0.12345, facts)
    assert json.loads(line(event)) == {
        "time": "2025-11-22T19:33:20.250000Z",
        "stage": "relay",
        "verdict": "550 5.7.1 No",
        "plugin": "networks",
        "id": "M1",
        "session": "S1",
        "milliseconds": 0.123,
        "recipient": "b@x.example",
        "signals": {"spf": "fail"},
        "fact_time": "yesterday",
    }
    assert list(json.loads(line(Event(NOW, "queue", "due")))) == ["time", "stage", "verdict"]


@given(st.text(), st.dictionaries(st.text(max_size=5), st.text() | st.floats() | st.binary()))
def test_nothing_breaks_out_of_its_line(text: str, facts: dict[str, object]) -> None:
    """Whatever a stranger writes: one line, ASCII without control characters, valid JSON."""
    said = line(Event(NOW, text, text, text, text, text, 0.0, facts))
    assert said.endswith("\n") and said.isascii() and said[:-1].isprintable()
    assert json.loads(said, parse_constant=pytest.fail)["stage"] == text


def test_facts_that_json_cannot_say_are_said_otherwise() -> None:
    """Endless structures, odd keys, objects: never an exception."""
    endless: list[object] = []
    endless.append(endless)
    for facts in ({"x": endless}, {"x": object()}, {"x": {("a", 1): 2}}, {"x": float("nan")}):
        assert "x" in json.loads(
            line(Event(NOW, "s", "v", facts=facts)), parse_constant=pytest.fail
        )


def test_lines_are_added_together_after_a_while(tmp_path: Path) -> None:
    """To what the file held before; the file is not for everybody."""
    clock, file = Clock(), tmp_path / "log.json"
    file.write_text('{"stage":"before"}\n')
    to = log(tmp_path, clock)
    for n in range(3):
        to.observe(Event(NOW, f"stage{n}", "v"))
    assert len(lines(file)) == 1
    clock.advance(0.2)
    assert [each["stage"] for each in lines(file)] == ["before", "stage0", "stage1", "stage2"]
    file.unlink()
    to.observe(Event(NOW, "s", "v"))
    clock.advance(0.2)
    assert file.stat().st_mode & 0o137 == 0


def test_a_rotated_file_is_made_anew(tmp_path: Path) -> None:
    """Renamed, removed, or another in its place: the next lines go where the name says."""
    clock, file = Clock(), tmp_path / "log.json"
    to = log(tmp_path, clock)

    def say(stage: str) -> None:
        to.observe(Event(NOW, stage, "v"))
        clock.advance(0.2)

    say("one")
    say("two")
    file.rename(tmp_path / "log.1")
    say("three")
    file.unlink()
    say("four")
    file.rename(tmp_path / "log.2")
    file.touch()
    say("five")
    assert [each["stage"] for each in lines(tmp_path / "log.1")] == ["one", "two"]
    assert [each["stage"] for each in lines(tmp_path / "log.2")] == ["four"]
    assert [each["stage"] for each in lines(file)] == ["five"]


def test_dropped_events_are_told(tmp_path: Path) -> None:
    """A line says how many are missing."""
    clock = Clock()
    to = log(tmp_path, clock, waiting=2)
    for n in range(5):
        to.observe(Event(NOW, f"stage{n}", "v"))
    clock.advance(0.2)
    first, *rest = lines(tmp_path / "log.json")
    assert (first["verdict"], first["dropped"]) == ("dropped", 3)
    assert len(rest) == 2


def test_the_standard_output_serves_too(capfd: pytest.CaptureFixture[str]) -> None:
    """`file = "-"`, and short writes are continued."""
    clock = Clock()
    to = Log(Settings(), site(reactor=clock))
    to.observe(Event(NOW, "queue", "x" * 100))
    clock.advance(0.2)
    result_of(to.stopService())
    assert json.loads(capfd.readouterr().out)["stage"] == "queue"


def test_stopping_writes_the_last_lines(tmp_path: Path) -> None:
    """And closes the file."""
    to = log(tmp_path, Clock())
    to.observe(Event(NOW, "last", "v"))
    result_of(to.stopService())
    assert lines(tmp_path / "log.json")[0]["stage"] == "last"
    open_files = [os.readlink(f"/proc/self/fd/{n}") for n in _open_files()]
    assert str(tmp_path / "log.json") not in open_files


def _open_files() -> list[str]:
    return [n for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")]


def test_only_the_stages_wished_for(tmp_path: Path) -> None:
    """`stages` is what the host is told to show it; a place that is none is refused."""
    assert log(tmp_path, Clock(), stages=("relay",)).wants == {"relay"}
    assert log(tmp_path, Clock()).wants is None
    with pytest.raises(SettingError) as caught:
        log(tmp_path, Clock(), file="no/such/folder/log")
    assert caught.value.key == "file"


def test_lines_of_several_processes_do_not_mix(tmp_path: Path) -> None:
    """What goes to standard output goes in pieces that a pipe takes whole: lines, never parts."""
    short = [b"x" * 99 + b"\n"] * 100
    pieces = list(_pieces([*short, b"y" * PIPE_BUF + b"\n", *short]))
    assert b"".join(pieces) == b"".join([*short, b"y" * PIPE_BUF + b"\n", *short])
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert sorted(map(len, pieces))[-2] <= PIPE_BUF
    assert len(pieces) == 2 * 3 + 1

"""What a server costs, seen from /proc, and what looking costs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from benchmarks import watch
from benchmarks.peers import private_room

CHILD = """
import sys, time
kept = bytearray({octets})
while time.process_time() < 0.1: pass
print(1, flush=True)
time.sleep(60)
"""
PARENT = """
import subprocess, sys
print(1, flush=True)
subprocess.run([sys.executable, "-c", {child!r}])
"""


@pytest.fixture
def tree():
    """A process and its child, which holds 30 MB."""
    child = CHILD.format(octets=30 << 20)
    words = [sys.executable, "-c", PARENT.format(child=child)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.read(4)  # both have said that they are there
        yield process.pid
        os.killpg(process.pid, 9)


def test_children_belong_to_the_server(tree) -> None:
    """Their memory is the server's, too."""
    pids = list(watch.family(tree))
    assert pids[0] == tree
    assert len(pids) == 2
    found = watch.usage(tree, memory=True)
    assert found.memory > 30 << 20
    assert found.cpu >= 0.05


def test_a_server_that_ended_costs_nothing() -> None:
    """It is read while its processes come and go."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert watch.usage(process.pid, memory=True) == (0.0, 0.0)


def test_a_peak_is_seen_even_where_it_was_short(tree) -> None:
    """The last look is when the context closes."""
    with watch.Peak(tree, every=60) as peak:
        pass
    assert peak.octets > 30 << 20


def test_dear_looks_are_rare() -> None:
    """The watcher takes its share of a core and no more, however much there is to see."""
    peak = watch.Peak(1, every=0.1, share=0.01)
    assert peak.pause(0.0001) == 0.1
    assert peak.pause(0.05) == pytest.approx(5.0)


def test_looks_are_counted(tree) -> None:
    """What the last look took is in the sum."""
    with watch.Peak(tree, every=60) as peak:
        pass
    assert 0 < peak.cpu < 1


@pytest.mark.parametrize(
    ("spent", "waits", "last"),
    [([1.0, 1.01], 1, 1.01), ([1.0, 1.2, 1.4, 1.4], 3, 1.4), ([1.0, 2.0, 3.0, 4.0, 5.0], 4, 5.0)],
)
def test_a_server_rests_before_the_next_one_runs(monkeypatch, spent, waits, last) -> None:
    """What it still delivers is waited for and counted, but not for ever."""
    left = iter(spent)
    monkeypatch.setattr(watch, "usage", lambda root: watch.Usage(next(left), 0.0))
    waited: list[float] = []
    assert watch.settle(1, waited.append, looks=4) == last
    assert len(waited) == waits


def test_a_private_room_has_its_users(tmp_path) -> None:
    """Its own come first, the system's stay; what is quoted reaches the daemon as one word."""
    words = private_room.write(
        tmp_path, ["/bin/a daemon", "-x"], {"mailer": 990}, {"/var/spool": tmp_path / "spool"}
    )
    script = (tmp_path / "room.sh").read_text()
    assert words[:3] == ["unshare", "--mount", "sh"]
    assert script.splitlines()[-1] == "exec '/bin/a daemon' -x"
    assert f"mount --bind {tmp_path}/spool /var/spool" in script
    users = (tmp_path / "passwd").read_text().splitlines()
    assert users[0].startswith("mailer:x:990:990:")
    assert [line for line in users if line.startswith("root:")]
    assert subprocess.run(["sh", "-n", tmp_path / "room.sh"], check=False).returncode == 0

"""`twistd mailframe -c FILE`, as an operator runs it."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TWISTD = Path(sys.executable).with_name("twistd")
TOML = """\
hostname = "mx.example.org"
state = "state"
{top}

[[listen]]
name = "mx"
endpoint = "tcp:{port}:interface=127.0.0.1"

[[relay]]
plugin = "inbound"
domains = ["example.org"]

[[route]]
plugin = "mailboxes"
domains = ["example.org"]
file = "mailboxes"
deliver = "discard"

[queue]
plugin = "sqlite"

[deliver.discard]
plugin = "discard"
"""


def configure(folder: Path, port: int = 0, top: str = "") -> Path:
    """A configuration in this folder."""
    (folder / "mailboxes").write_text("alice\n")
    file = folder / "mailframe.toml"
    file.write_text(TOML.format(port=port, top=top))
    return file


def wait_for(what: Callable[[], Any], seconds: float = 20) -> Any:
    """Its first true value."""
    end = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return value


def ready(process: subprocess.Popen[str], folder: Path) -> dict[str, Any]:
    """Where the listeners of this host are, once it is ready."""
    wait_for(lambda: ports(folder) or process.poll() is not None)
    assert process.poll() is None, process.communicate()[0]
    return ports(folder)


def ports(folder: Path) -> dict[str, Any]:
    """Where the listeners are, once the host is ready."""
    file = folder / "state" / "ports"
    return json.loads(file.read_text()) if file.exists() else {}


def twistd(folder: Path, *words: str) -> subprocess.Popen[str]:
    """A twistd whose working folder is this one."""
    return subprocess.Popen(
        [TWISTD, *words], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def test_starts_answers_and_stops(tmp_path: Path) -> None:
    """SIGTERM ends it (twistd, then, by that signal); its log names each listener's real port."""
    configure(tmp_path)
    process = twistd(tmp_path, "-n", "--pidfile=", "mailframe", "-c", "mailframe.toml")
    try:
        host, port = ready(process, tmp_path)["mx"]
        with socket.create_connection((host, port), 5) as client:
            assert client.makefile("rb").readline().startswith(b"220 mx.example.org ")
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGTERM, said
    assert f"mx.example.org ready: mx 127.0.0.1:{port}" in said
    assert "Traceback" not in said
    assert sorted(path.name for path in (tmp_path / "state").iterdir() if path.is_socket()) == []


def test_daemon(tmp_path: Path) -> None:
    """A daemon finds its relative files, writes its pid, and takes the pid file away."""
    configure(tmp_path)
    pidfile = tmp_path / "mailframe.pid"
    process = twistd(
        tmp_path, f"--pidfile={pidfile}", "--logfile=log", "mailframe", "-c", "mailframe.toml"
    )
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 0, said
    wait_for(lambda: ports(tmp_path))
    pid = int(pidfile.read_text())
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not pidfile.exists())
    assert "stopped" in (tmp_path / "log").read_text()


EARLY = """\
import os, signal
from twisted.application.service import Service

class Early(Service):
    def __init__(self, settings, site):
        pass
    def startService(self):
        os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_signal_that_comes_before_the_reactor(tmp_path: Path) -> None:
    """The host stops in order: nothing is left of it."""
    configure(tmp_path)
    (tmp_path / "early.py").write_text(EARLY)
    with (tmp_path / "mailframe.toml").open("a") as toml:
        toml.write('\n[[serve]]\nplugin = "early:Early"\n')
    process = twistd(tmp_path, "-n", "--pidfile=pid", "mailframe", "-c", "mailframe.toml")
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 0, said
    assert "stopped" in said
    assert not (tmp_path / "pid").exists() and not (tmp_path / "state" / "control").exists()


def test_a_daemon_delivers(tmp_path: Path) -> None:
    """Threads and files of the store live in the daemon, not in the process that forked it."""
    import smtplib

    configure(tmp_path)
    pidfile = tmp_path / "mailframe.pid"
    twistd(
        tmp_path, f"--pidfile={pidfile}", "--logfile=log", "mailframe", "-c", "mailframe.toml"
    ).communicate(timeout=20)
    host, port = wait_for(lambda: ports(tmp_path))["mx"]
    try:
        with smtplib.SMTP(host, port, timeout=10) as client:
            client.sendmail("b@b.example", ["alice@example.org"], b"Subject: x\r\n\r\nx\r\n")
    finally:
        os.kill(int(pidfile.read_text()), signal.SIGTERM)
    wait_for(lambda: not pidfile.exists())


@pytest.mark.parametrize("daemon", [False, True])
def test_a_wrong_configuration(tmp_path: Path, daemon: bool) -> None:
    """Every error on a line of its own, status 1, no traceback; a daemon does not fork."""
    file = configure(tmp_path)
    file.write_text(file.read_text().replace("inbound", "inbuond").replace("discard", "discrad"))
    mode = ["--logfile=log"] if daemon else ["-n"]
    process = twistd(tmp_path, *mode, "--pidfile=", "mailframe", "-c", str(file))
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "Traceback" not in said
    assert "inbound" in said
    assert f"{file}:" in said
    assert not (tmp_path / "state").exists()


def test_no_configuration(tmp_path: Path) -> None:
    """A file that is not there is named."""
    process = twistd(tmp_path, "-n", "--pidfile=", "mailframe", "-c", "none.toml")
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "none.toml" in said
    assert "Traceback" not in said


def test_the_configuration_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """twistd finds the file where the commands do."""
    monkeypatch.setenv("MAILFRAME_CONFIG", str(tmp_path / "chosen.toml"))
    process = twistd(tmp_path, "-n", "--pidfile=", "mailframe")
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 1 and "chosen.toml" in said


@pytest.mark.parametrize("daemon", [False, True])
def test_a_taken_port(tmp_path: Path, daemon: bool) -> None:
    """The listener, its endpoint and the reason, status 1, no traceback, no pid file left."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        configure(tmp_path, other.getsockname()[1])
        mode = ["--logfile=log"] if daemon else ["-n"]
        process = twistd(tmp_path, *mode, "--pidfile=pid", "mailframe", "-c", "mailframe.toml")
        said, _ = process.communicate(timeout=20)
    log = (tmp_path / "log").read_text() if daemon else said
    assert process.returncode == 1
    assert "listener 'mx' cannot listen on tcp:" in said
    assert "Address already in use (EADDRINUSE)" in log
    assert "Traceback" not in said
    # The parent of a daemon ends a moment before the daemon does.
    wait_for(lambda: not (tmp_path / "pid").exists())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to drop")
@pytest.mark.parametrize("how", ["user", "uid"])
def test_privileges_are_dropped(tmp_path: Path, how: str) -> None:
    """By `user` or by twistd's --uid; the state folder and all in it belong to that user.

    A list that was read as root and never can be again is named in the log.
    """
    nobody = pwd.getpwnam("nobody")
    configure(tmp_path, top='user = "nobody"')
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    (tmp_path / "mailboxes").chmod(0o600)
    uid = [f"--uid={nobody.pw_uid}", f"--gid={nobody.pw_gid}"] if how == "uid" else []
    process = twistd(tmp_path, "-n", "--pidfile=", *uid, "mailframe", "-c", "mailframe.toml")
    try:
        ready(process, tmp_path)
        status = Path(f"/proc/{process.pid}/status").read_text()
        rows = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert rows["Uid"].split() == [str(nobody.pw_uid)] * 4
        assert rows["Gid"].split() == [str(nobody.pw_gid)] * 4
        assert "0" not in rows["Groups"].split()
        state = tmp_path / "state"
        owners = {path.stat().st_uid for path in (state, *state.rglob("*"))}
        assert owners == {nobody.pw_uid}
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGTERM, said
    warning = f"route.file: warning: {tmp_path}/mailboxes cannot be read by the user 'nobody'"
    assert warning in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to drop")
def test_workers_drop_privileges(tmp_path: Path) -> None:
    """Workers become `user`, a later one too; so does all in the state folder."""
    nobody = pwd.getpwnam("nobody")
    configure(tmp_path, top='user = "nobody"\nworkers = 2')
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    process = twistd(tmp_path, "-n", "--pidfile=", "mailframe", "-c", "mailframe.toml")
    try:
        ready(process, tmp_path)
        os.kill(children(process.pid)[0], signal.SIGKILL)
        wait_for(lambda: len(children(process.pid)) == 2)
        wait_for(lambda: owners_of(children(process.pid)) == {nobody.pw_uid})
        state = tmp_path / "state"
        owners = {path.stat().st_uid for path in (state, *state.rglob("*"))}
        assert owners == {nobody.pw_uid}
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGTERM, said


def owners_of(pids: list[int]) -> set[int]:
    """Whose these processes are; one that has ended is nobody's."""
    owners = set()
    for pid in pids:
        with contextlib.suppress(FileNotFoundError):
            owners.add(Path(f"/proc/{pid}").stat().st_uid)
    return owners


def children(pid: int) -> list[int]:
    """The processes that this one has begun."""
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for file in found for child in file.read_text().split()]


@pytest.mark.parametrize("daemon", [False, True])
def test_workers_that_cannot_start(tmp_path: Path, daemon: bool) -> None:
    """The reason is in the log, and nobody tries for ever."""
    configure(tmp_path, top="workers = 2")
    (tmp_path / "state" / "queue").mkdir(parents=True)
    (tmp_path / "state" / "queue" / "1").write_text("no folder")
    mode = ["--logfile=log"] if daemon else ["-n", "--logfile=log"]
    process = twistd(tmp_path, *mode, "--pidfile=pid", "mailframe", "-c", "mailframe.toml")
    process.communicate(timeout=20)
    wait_for(
        lambda: (tmp_path / "log").exists() and "Server Shut" in (tmp_path / "log").read_text()
    )
    said = (tmp_path / "log").read_text()
    assert "not started: worker 1: " in said
    assert "queue/1" in said
    assert not (tmp_path / "state" / "ports").exists()


TAC = """\
from twisted.application.service import Application
from mailframe.host import make_service

application = Application("mailframe")
make_service("mailframe.toml").setServiceParent(application)
"""


def test_tac(tmp_path: Path) -> None:
    """The same host from a .tac file."""
    configure(tmp_path)
    (tmp_path / "mailframe.tac").write_text(TAC)
    process = twistd(tmp_path, "--pidfile=", "-ny", "mailframe.tac")
    try:
        ready(process, tmp_path)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGTERM, said


def test_what_blocks_is_in_the_log(tmp_path: Path) -> None:
    """A plugin beside the configuration that sleeps is named, with the line where it does."""
    (tmp_path / "slow.py").write_text(
        "import time\n"
        "from mailframe.plugin import Filter\n"
        "class Slow(Filter):\n"
        "    def __init__(self, settings, site): pass\n"
        "    def hello(self, client):\n"
        "        time.sleep(0.3)\n"
    )
    file = configure(tmp_path)
    file.write_text(file.read_text() + '\n[[filter]]\nplugin = "slow:Slow"\n')
    process = twistd(tmp_path, "-n", "--pidfile=", "mailframe", "-c", "mailframe.toml")
    try:
        host, port = ready(process, tmp_path)["mx"]
        with socket.create_connection((host, port), 5) as client:
            lines = client.makefile("rb")
            lines.readline()
            client.sendall(b"HELO client.example\r\n")
            assert lines.readline().startswith(b"250 ")
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    assert re.search(r"has been kept for 0\.\d\d s by filter plugin slow\S* at ", said), said
    assert "slow.py" in said and "time.sleep(0.3)" in said
    assert said.count("has been kept") == 1

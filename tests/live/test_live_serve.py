"""A protocol that a plugin brings: two workers, TLS, a login, a reload, and the end."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from live_servers import Host, wait_for
from mailframe.testing.certificates import make_authority

pytestmark = pytest.mark.live

EXAMPLE = Path(__file__).parents[2] / "examples" / "whoami"


BEAT = """\
from pathlib import Path

from twisted.application.service import Service


class Beat(Service):
    def __init__(self, settings, site):
        self.file = Path(site.folder, f"beat.{site.worker}")

    def startService(self):
        super().startService()
        self.file.write_text("on")

    def stopService(self):
        self.file.write_text("off")
        return super().stopService()
"""


ASKS = """\
import json
from pathlib import Path

from twisted.application.service import Service
from twisted.internet import defer, task


class Asks(Service):
    def __init__(self, settings, site):
        self.site = site
        self.file = Path(site.folder, f"asked.{site.worker}")

    def startService(self):
        super().startService()
        self.loop = task.LoopingCall(lambda: defer.ensureDeferred(self.ask()))
        self.loop.start(0.2, now=False)

    async def ask(self):
        try:
            rows = await self.site.ask("gauges", of="listeners")
        except ValueError as refused:  # the other worker is not there yet
            rows = [{"refused": str(refused)}]
        self.file.write_text(json.dumps(rows))

    def stopService(self):
        self.loop.stop()
        return super().stopService()
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    folder = tmp_path / "host"
    authority = make_authority()
    authority.issue("mx.example.org").write_live(folder / "certificates")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    toml = (EXAMPLE / "mailframe.toml").read_text()
    for port in ("2525", "2526"):
        toml = toml.replace(f"tcp:{port}:", "tcp:0:")
    shutil.copy(EXAMPLE / "whoami.py", folder / "whoami.py")
    toml += '\n[[serve]]\nplugin = "beat:Beat"\n'
    (folder / "beat.py").write_text(BEAT)
    toml += '\n[[serve]]\nplugin = "asks:Asks"\n'
    (folder / "asks.py").write_text(ASKS)
    host = Host(folder, toml, users="")
    host.command("user", "add", "bob", "--stdin", stdin="secret\n")
    with host:
        yield host


class Talk:
    """A client of the protocol."""

    def __init__(self, port: int) -> None:
        self.socket: socket.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.lines = self.socket.makefile("rb")

    def read(self) -> str:
        return self.lines.readline().decode().strip()

    def say(self, line: str) -> str:
        self.socket.sendall(line.encode() + b"\r\n")
        return self.read()

    def start_tls(self, authorities: Path, *behind: str) -> None:
        said = "".join(f"{line}\r\n" for line in ("STARTTLS", *behind))
        self.socket.sendall(said.encode())
        assert self.read() == "+ begin TLS"
        context = ssl.create_default_context(cafile=str(authorities))
        self.socket = context.wrap_socket(self.socket, server_hostname="mx.example.org")
        self.lines = self.socket.makefile("rb")


def test_who_am_i(host: Host, tmp_path: Path) -> None:
    """In the clear there is no login; in TLS there is."""
    talk = Talk(host.port("whoami"))
    assert talk.read() == "+ mx.example.org, who are you?"
    assert talk.say("WHOAMI") == "127.0.0.1, in the clear"
    assert talk.say("LOGIN bob secret") == "- no"
    talk.start_tls(tmp_path / "ca.pem", "LOGIN bob secret", "QUIT")  # which are forgotten
    assert talk.say("LOGIN bob wrong").startswith("- ")
    assert talk.say("LOGIN bob secret") == "+ bob"
    assert talk.say("WHOAMI") == "bob at 127.0.0.1, in TLSv1.3"
    assert talk.say("STARTTLS") == "- no"
    assert talk.say("QUIT") == "+ bye" and talk.read() == ""


def test_a_plugin_asks_the_whole_host(host: Host) -> None:
    """Whichever worker it is in, it hears of both."""

    def workers(number: int) -> set[int]:
        file = host.folder / f"asked.{number}"
        rows = json.loads(file.read_text() or "[]") if file.exists() else []
        return {row["worker"] for row in rows if "worker" in row}

    wait_for(lambda: workers(0) == workers(1) == {0, 1}, name="both workers' answers")


def test_limits_are_the_hosts(host: Host) -> None:
    """Ten clients of one address, over both workers no more than that in each."""
    talks = [talk for talk in (_connected(host) for _ in range(30)) if talk is not None]
    greeted = sum(_greeting(talk) for talk in talks)
    assert 10 <= greeted <= 20
    for talk in talks:
        talk.socket.close()


def _connected(host: Host) -> Talk | None:
    """None if it was turned away even before `connect` came back."""
    try:
        return Talk(host.port("whoami"))
    except ConnectionResetError:
        return None


def _greeting(talk: Talk) -> bool:
    try:
        return talk.read().startswith("+ ")
    except ConnectionResetError:
        return False


def test_reload_and_stop(host: Host) -> None:
    """A session outlives the workers' replacement; new clients are served all the while."""
    old = Talk(host.port("whoami"))
    assert old.read().startswith("+ ")
    assert host.process.process is not None
    host.process.process.send_signal(signal.SIGHUP)
    assert wait_for(lambda: "replaced" in host.process.said(), 40, "the reload")
    for _ in range(10):
        talk = Talk(host.port("whoami"))
        assert talk.read().startswith("+ ") and talk.say("QUIT") == "+ bye"
    last = Talk(host.port("whoami"))
    assert last.read().startswith("+ ")
    host.stop()
    assert last.read() == "- closing"


def test_a_service_runs_in_each_worker(host: Host) -> None:
    """And is stopped with it."""
    files = [host.folder / f"beat.{worker}" for worker in range(2)]
    wait_for(lambda: [file.exists() and file.read_text() for file in files] == ["on", "on"])
    host.stop()
    assert [file.read_text() for file in files] == ["off", "off"]


def test_a_fault_in_a_protocol_harms_nothing_else(host: Host) -> None:
    """A client that is in the middle of something goes on, in the same worker or the other."""
    talks = [Talk(host.port("whoami")) for _ in range(6)]
    for talk in talks:
        assert talk.read().startswith("+ ")
    talks[0].socket.sendall(b"x" * 100_000)  # longer than a line may be
    with contextlib.suppress(ConnectionError):
        while talks[0].read():
            pass
    for talk in talks[1:]:
        assert talk.say("WHOAMI") == "127.0.0.1, in the clear"

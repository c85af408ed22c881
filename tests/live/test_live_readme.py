"""What README.md and examples/ show works as it stands there."""

from __future__ import annotations

import re
import shutil
import smtplib
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from live_servers import MAILFRAME, Host, wait_for
from mailframe.message import Route, Status
from mailframe.testing.certificates import make_authority
from mailframe.testing.values import message, site

pytestmark = pytest.mark.live

HOUSE = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    """README's code blocks of one language, in their order."""
    text = (HOUSE / "README.md").read_text("utf-8")
    return [block for kind, block in BLOCK.findall(text) if kind == language]


def ten_lines() -> str:
    """README's host, on a port that is free."""
    return blocks("toml")[0].replace("tcp:2525", "tcp:0:interface=127.0.0.1")


def send(host: Host, recipient: str, listener: str = "mx") -> tuple[int, bytes]:
    """What RCPT is answered with; the message is sent where that is 250."""
    with smtplib.SMTP("127.0.0.1", host.port(listener)) as client:
        client.ehlo("client.example")
        client.mail("a@client.example")
        answer = client.rcpt(recipient)
        if answer[0] == 250:
            assert client.data("Subject: x\r\n\r\nhello\r\n")[0] == 250
        return answer


def test_the_ten_line_host_delivers_and_relays_nothing(tmp_path: Path) -> None:
    """README's host as written, with its `echo alice > mailboxes`."""
    with Host(tmp_path, ten_lines(), mailboxes="alice\n") as host:
        assert send(host, "alice@example.org")[0] == 250
        host.wait_for_mail("alice@example.org")
        assert send(host, "bob@example.org")[1].startswith(b"5.1.1")
        assert send(host, "victim@elsewhere.example")[1].startswith(b"5.7.1")


def test_the_plugin_delivers(tmp_path: Path) -> None:
    """README's delivery plugin in place of the Maildir; it makes its folder, and blocks nobody."""
    toml = ten_lines().split("[deliver.maildir]")[0] + blocks("toml")[1]
    files = {"mailboxes": "alice\n", "my_delivery.py": blocks("python")[0]}
    with Host(tmp_path, toml, **files) as host:
        send(host, "alice@example.org")
        (mail,) = wait_for(lambda: list((tmp_path / "archive").glob("*.eml")), name="the archive")
        wait_for(lambda: mail.read_bytes().endswith(b"Subject: x\r\n\r\nhello\r\n"))


def test_the_plugin_does_its_work_in_a_thread(tmp_path: Path) -> None:
    """Nothing is on the disk before the thread that the host lends has done it."""
    names: dict[str, Any] = {}
    exec(blocks("python")[0], names)
    later: list[Callable[[], Any]] = []
    lent = site(tmp_path, in_thread=lambda *work: later.append(partial(*work)))
    agent = names["Archive"]({"folder": "archive"}, lent)
    given = message()
    agent.deliver(given, [Route("archive", recipient=given.envelope.recipients[0])])
    assert list(tmp_path.iterdir()) == []
    [outcome] = later[0]()
    assert outcome.status is Status.DELIVERED
    assert (tmp_path / "archive" / f"{given.id}.eml").read_bytes() == given.content.at_hand


@pytest.mark.parametrize(
    "name",
    ["small_host", "submission_relay", "sandbox", "sandbox/world", "sink", "leaving", "metrics"],
)
def test_the_examples_are_correct_as_they_stand(name: str) -> None:
    """`mailframe check` has nothing to say against them but what this machine lacks."""
    done = subprocess.run(
        [MAILFRAME, "-c", HOUSE / "examples" / name / "mailframe.toml", "check"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    complaints = [line for line in done.stderr.splitlines() if ".toml:" in line and line[:1] == "/"]
    lacking = re.compile(r"No such file or directory|is not a folder|there is no user")
    assert all(lacking.search(line) for line in complaints), done.stderr


@pytest.mark.parametrize("name", ["small_host", "submission_relay"])
def test_the_examples_run(name: str, tmp_path: Path) -> None:
    """With ports, folders and certificates of the test's own, nothing else is changed."""
    folder = tmp_path / name
    shutil.copytree(HOUSE / "examples" / name, folder)
    toml = (folder / "mailframe.toml").read_text("utf-8").replace('user = "mailframe"', "")
    for old, new in {
        "tcp:25": "tcp:0", "tcp:587": "tcp:0", "tcp:465": "tcp:0",
        "/var/lib/mailframe": "state", "/etc/letsencrypt/live": "live",
        "/var/mail": f"{folder}/mail", "/var/log/mailframe.log": "mail.log",
    }.items():  # fmt: skip
        toml = toml.replace(f'"{old}', f'"{new}')
    make_authority().issue("mx.example.org", "relay.example.org").write_live(folder / "live")
    with Host(folder, toml) as host:
        listener = min(host.ports())
        assert send(host, "victim@elsewhere.example", listener)[1].startswith(b"5.7.1")
        if name == "small_host":
            send(host, "postmaster@example.org")
            host.wait_for_mail("alice@example.org")


def test_make_demo_shows_all_five_messages() -> None:
    """`examples/sandbox/demo.py --once` ends with 0: each message became what it should."""
    done = subprocess.run(
        [MAILFRAME.with_name("python"), HOUSE / "examples" / "sandbox" / "demo.py", "--once"],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "550 5.7.1 Relaying denied" in done.stdout


def test_make_demo_looks_at_its_ports_before_it_installs(tmp_path: Path) -> None:
    """Whoever has to free a port is told so at once, by a Python without mailframe."""
    shutil.copytree(HOUSE / "examples" / "sandbox", tmp_path / "examples" / "sandbox")
    shutil.copy(HOUSE / "Makefile", tmp_path)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # if it is taken by somebody else, so much the better
            other.bind(("127.0.0.1", 2526))
            other.listen()
        done = subprocess.run(
            ["make", "demo", f"PYTHON={sys.executable} -I -S"],
            cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode != 0
    assert "in use already:" in done.stdout and "2526 (the world's MX)" in done.stdout
    assert not (tmp_path / ".venv").exists()


def test_a_free_port_of_the_demo_is_free() -> None:
    """A listening one is not, nor a UDP one where the name server would be."""
    names: dict[str, Any] = {"__name__": "ports"}
    exec((HOUSE / "examples" / "sandbox" / "ports.py").read_text("utf-8"), names)
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        for one in (tcp, udp):
            one.bind(("127.0.0.1", 0))
        tcp.listen()
        taken, datagrams = tcp.getsockname()[1], udp.getsockname()[1]
        names["PORTS"].clear()
        names["PORTS"].update({"MX": taken, "DNS": datagrams})
        assert names["in_use"]() == [f"{taken} (MX)", f"{datagrams} (DNS)"]
    assert names["in_use"]() == []

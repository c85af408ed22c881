"""A real twistd with `workers = 2`: shared ports, a queue in parts, deaths, reloads."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import smtplib
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from live_servers import Host, wait_for
from session_load import Load

pytestmark = pytest.mark.live

SMARTHOST = """\
[[route]]
plugin = "smarthost"
host = "127.0.0.1"
port = 1
deliver = "smtp"
private = true
"""
AWAY = """\
[[route]]
plugin = "mailboxes"
domains = ["away.example"]
file = "away"
deliver = "maildir"
"""
TOML = (
    """\
hostname = "mx.example.org"
state = "state"
workers = 2
stop_timeout = 10

[[listen]]
name = "mx"
endpoint = "tcp:0:interface=127.0.0.1"
limits = { connections_per_client = 1000 }

[[listen]]
name = "lmtp"
endpoint = "unix:lmtp"
protocol = "lmtp"

[[relay]]
plugin = "inbound"
domains = ["example.org"]

[[route]]
plugin = "mailboxes"
domains = ["example.org"]
file = "mailboxes"
deliver = "maildir"

[[relay]]
plugin = "networks"
networks = ["127.0.0.1"]

[queue]
plugin = "sqlite"

[deliver.maildir]
plugin = "maildir"
path = "mail/{domain}/{user}/Maildir"

[deliver.smtp]
plugin = "smtp"

[[observe]]
plugin = "trace"

[[observe]]
plugin = "log"
file = "events"

"""
    + SMARTHOST
)


class Workers(Host):
    """A host whose twistd is a supervisor."""

    def pids(self) -> dict[int, int]:
        """The process of each worker, by its number."""
        assert self.process.process is not None
        children = Path(f"/proc/{self.process.process.pid}/task").glob("*/children")
        found = {}
        for pid in " ".join(file.read_text() for file in children).split():
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"mailframe.host.workers.main" in words:
                found[int(words[-2])] = int(pid)
        return found

    def send(self, count: int, to: str = "alice@example.org") -> Load:
        """So many messages; each was accepted."""
        load = Load("127.0.0.1", self.port(), count, recipient=to)
        load.run()
        assert load.troubles == {}
        assert len(load.accepted) == count
        return load

    def counts(self) -> Counter[str]:
        """What `queue summary` counts."""
        rows = self.command("queue", "summary", "--json").splitlines()
        return Counter(json.loads(rows[0])["counts"])

    def waiting(self) -> list[str]:
        """The ids of all that waits."""
        rows = self.command("queue", "list", "--json", "--limit", "0").splitlines()
        return [json.loads(row)["id"] for row in rows]

    def reloads(self) -> int:
        """How many reloads are done."""
        return self.process.said().count("Supervisor#info] reloaded")

    def reload(self) -> None:
        """SIGHUP to the supervisor alone; returns once all workers are new ones."""
        assert self.process.process is not None
        done = self.reloads()
        os.kill(self.process.process.pid, signal.SIGHUP)
        wait_for(lambda: self.reloads() > done, 60, "the reload")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Workers]:
    """A running host with two workers."""
    with Workers(tmp_path, TOML, mailboxes="alice\n") as running:
        yield running
    assert "Traceback" not in running.process.said()


def test_both_workers_take_mail(host: Workers) -> None:
    """Each has a part of the queue; list, show and trace are of both, running or down."""
    assert sorted(host.pids()) == [0, 1]
    host.send(100, "bob@away.example")
    parts = [host.state / "queue" / "queue.db", host.state / "queue" / "1" / "queue.db"]
    assert all(part.exists() for part in parts)
    waiting = host.waiting()
    assert len(waiting) == 100
    assert host.counts()["messages"] == 100
    lists = [json.loads(line) for line in (host.folder / "events").read_text().splitlines()]
    assert {line["id"] for line in lists if line.get("id")} == set(waiting)
    for id in (waiting[0], waiting[-1]):
        assert "Subject: n" in host.command("queue", "show", id, "--content")
        assert "networks" in host.command("trace", id)
    assert "50 on hold" in host.command("queue", "hold", *waiting[::2])
    assert host.stop() == -signal.SIGTERM
    assert host.counts()["held"] == 50
    assert host.waiting() == waiting
    assert "100 deleted" in host.command("queue", "delete", "--all", "--yes")


def _has(pid: int, client: smtplib.SMTP) -> bool:
    """Whether that process has the other end of this connection."""
    assert client.sock is not None
    port = f":{client.sock.getsockname()[1]:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {row[9] for row in rows if row[2].endswith(port)}
    sockets = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            sockets.add(os.readlink(file))
    return any(f"socket:[{inode}]" in sockets for inode in inodes)


def test_a_killed_worker_is_replaced(host: Workers) -> None:
    """Sessions of the other go on, and what the dead one had accepted is delivered."""
    host.send(40, "bob@away.example")
    before, pids = host.waiting(), host.pids()
    clients: dict[int, list[smtplib.SMTP]] = {0: [], 1: []}
    while not all(clients.values()):
        client = smtplib.SMTP("127.0.0.1", host.port(), "client.example", 20)
        clients[0 if _has(pids[0], client) else 1].append(client)
    os.kill(pids[1], signal.SIGKILL)
    wait_for(lambda: host.pids().get(1, pids[1]) != pids[1], name="another worker 1")
    assert all(_answers(client) for client in clients[0])
    assert not any(_answers(client) for client in clients[1])
    assert host.pids()[0] == pids[0]
    assert host.waiting() == before
    host.send(60)
    assert len(host.wait_for_mail("alice@example.org", 60)) == 60
    assert "worker 1 ended (killed by signal 9)" in host.process.said()


def test_reloads_under_load(host: Workers) -> None:
    """Three reloads during 1,000 connections: none refused, no session broken, all delivered."""
    load = Load("127.0.0.1", host.port(), 1000, at_once=40, linger=0.5)
    first = host.pids()
    thread = load.start()
    for _ in range(3):
        host.reload()
    thread.join(120)
    assert load.troubles == {}
    assert len(load.accepted) == 1000
    assert set(host.pids().values()).isdisjoint(first.values())
    assert len(host.wait_for_mail("alice@example.org", 1000, 60)) == 1000
    wait_for(lambda: host.counts()["messages"] == 0)


def test_a_long_session_outlives_a_reload(host: Workers) -> None:
    """Who is in the middle of a message may finish it, whichever worker they are with."""
    clients = [smtplib.SMTP("127.0.0.1", host.port(), "client.example", 20) for _ in range(4)]
    for client in clients:
        client.ehlo()
        client.mail("b@client.example")
        client.rcpt("alice@example.org")
    os.kill(host.process.process.pid, signal.SIGHUP)  # type: ignore[union-attr]
    time.sleep(1.5)
    for client in clients:
        assert client.data(b"Subject: long\r\n\r\nHello\r\n")[0] == 250
        client.quit()
    wait_for(host.reloads, name="the reload")
    assert len(host.wait_for_mail("alice@example.org", 4)) == 4


def test_a_reload_reads_the_configuration(host: Workers) -> None:
    """What is right takes effect; what is wrong, or needs a restart, changes nothing."""
    host.config.write_text(TOML.replace('file = "mailboxes"', 'file = "others"'))
    (host.folder / "others").write_text("bob\n")
    host.reload()
    host.send(10, "bob@example.org")
    pids = host.pids()
    for wrong, words in (("workers = x", "mailframe.toml:3"), ("workers = 3", "needs a restart")):
        host.config.write_text(TOML.replace("workers = 2", wrong))
        os.kill(host.process.process.pid, signal.SIGHUP)  # type: ignore[union-attr]
        wait_for(lambda words=words: words in host.process.said(), name=words)
    assert host.pids() == pids
    host.send(10, "bob@example.org")


def test_fewer_workers_adopt_the_queue(host: Workers) -> None:
    """With one worker instead of two nothing is lost from sight, and all of it is tried."""
    host.send(40, "bob@away.example")
    waiting = host.waiting()
    host.stop()
    host.config.write_text(TOML.replace("workers = 2", "workers = 1").replace(SMARTHOST, AWAY))
    (host.folder / "away").write_text("bob\n")
    host.start()
    assert host.waiting() == waiting
    assert "40 to be tried now" in host.command("queue", "retry", "--all")
    assert len(host.wait_for_mail("bob@away.example", 40)) == 40
    wait_for(lambda: host.counts()["messages"] == 0)
    host.stop()
    host.start()  # it is seen to be empty when it is asked for the first time
    wait_for(lambda: "the queue of worker 1 is worked off" in host.process.said())


def test_stops_whole(host: Workers) -> None:
    """SIGTERM: idle clients read 421, all processes end, the door and the ports are gone."""
    pids = host.pids()
    client = socket.create_connection(("127.0.0.1", host.port()), 10)
    reader = client.makefile("rb")
    assert reader.readline().startswith(b"220 ")
    port = host.port()
    assert host.stop() == -signal.SIGTERM
    assert reader.readline().startswith(b"421 4.3.2")
    reader.close()
    client.close()
    assert not [pid for pid in pids.values() if Path(f"/proc/{pid}").exists()]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)
    assert sorted(path.name for path in host.state.iterdir()) == [
        "lock", "queue", "secret", "trace.sqlite",
    ]  # fmt: skip
    assert not (host.folder / "lmtp").exists()


def test_workers_do_not_outlive_their_supervisor(host: Workers) -> None:
    """kill -9 of twistd: the workers stop in order, and another host can start after that."""
    assert host.process.process is not None
    pids = host.pids()
    os.kill(host.process.process.pid, signal.SIGKILL)
    host.process.process.wait()
    wait_for(lambda: not [pid for pid in pids.values() if Path(f"/proc/{pid}").exists()])
    host.start()
    host.send(10)


def _answers(client: smtplib.SMTP) -> bool:
    try:
        return client.noop()[0] == 250
    except (smtplib.SMTPException, OSError):
        return False
    finally:
        client.close()

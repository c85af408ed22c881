"""A stranger's mail keeps nobody else's waiting: a real twistd with silent peers around it."""

from __future__ import annotations

import contextlib
import json
import smtplib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from live_servers import Host, free_port

pytestmark = pytest.mark.live

SLACK = 5  # times what is promised: the machine may have other work

TOML = """
hostname = "mx.ours.example"
state = "state"
[[listen]]
name = "mx"
endpoint = "tcp:0:interface=127.0.0.1"
[[relay]]
plugin = "inbound"
domains = ["ours.example", ".hung.example", ".tar.example"]
[[route]]
plugin = "aliases"
file = "aliases"
domains = ["ours.example"]
[[route]]
plugin = "mailboxes"
domains = ["ours.example"]
file = "mailboxes"
deliver = "maildir"
[[route]]
plugin = "mailboxes"
domains = [".hung.example"]
file = "everybody"
deliver = "store"
{tarpits}
[queue]
plugin = "sqlite"
[deliver.maildir]
plugin = "maildir"
path = "mail/{{domain}}/{{user}}/Maildir"
[deliver.store]
plugin = "lmtp"
host = "127.0.0.1"
port = {store}
[deliver.smtp]
plugin = "smtp"
private = true
"""

TARPIT = """
[[route]]
plugin = "smarthost"
host = "127.0.0.1"
port = {port}
domains = ["t{number}.tar.example"]
"""


@contextlib.contextmanager
def silence(port: int) -> Iterator[None]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", port), backlog=1000):
        yield


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Three tarpits, a store that hangs, and a list of 5,000 at all of them."""
    ports = [free_port() for _ in range(4)]
    with contextlib.ExitStack() as around:
        for port in ports:
            around.enter_context(silence(port))
        tarpits = "".join(TARPIT.format(port=each, number=at) for at, each in enumerate(ports[1:]))
        places = ["t0.tar", "t1.tar", "t2.tar", *(f"d{number}.hung" for number in range(47))]
        members = [f"m{number}@{places[number % 50]}.example" for number in range(4990)]
        yield around.enter_context(
            Host(
                Path(tmp_path_factory.mktemp("flood")),
                TOML.format(store=ports[0], tarpits=tarpits),
                aliases="big: :include:members\n",
                members="".join(f"{each}\n" for each in members),
                mailboxes="alice\npostmaster\n",
                everybody="".join(f"m{number}\n" for number in range(4990)) + "postmaster\n",
            )
        )


class Noops(threading.Thread):
    """Another client that asks whether somebody is there, all the time."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.longest, self.asked, self.done = 0.0, 0, threading.Event()
        self._port = port

    def run(self) -> None:
        """A session of fifty after the other."""
        while not self.done.is_set():
            with smtplib.SMTP("127.0.0.1", self._port, timeout=60) as client:
                client.ehlo("watch.example")
                for _ in range(50):
                    began = time.monotonic()
                    client.noop()
                    self.longest = max(self.longest, time.monotonic() - began)
                    self.asked += 1
                    time.sleep(0.01)


def send(host: Host, *to: str) -> None:
    with smtplib.SMTP("127.0.0.1", host.port(), timeout=60) as client:
        client.ehlo("client.example")
        client.sendmail("", to, b"Subject: x\r\n\r\nx\r\n")


def test_nobody_waits_for_a_stranger(host: Host) -> None:
    """Local mail is there in 2 s and a NOOP answered in 100 ms, whatever else is sent."""
    noops = Noops(host.port())
    noops.start()
    for number in range(3):
        for message in range(75):
            send(host, f"u{message}@t{number}.tar.example")
    for number in range(100):
        send(host, f"m0@d{number}.hung.example")
    with socket.create_connection(("127.0.0.1", host.port()), 60) as attacker:
        rcpts = b"".join(b"RCPT TO:<big+%d@ours.example>\r\n" % number for number in range(200))
        attacker.sendall(b"EHLO x.example\r\nMAIL FROM:<>\r\n" + rcpts + b"DATA\r\n")
        heard = b""
        while b"\r\n354 " not in heard:
            heard += attacker.recv(65536)
        attacker.sendall(b"Subject: x\r\n\r\nx\r\n.\r\n")
        assert heard.count(b"\r\n250 2.1.5") == 200
        assert attacker.recv(65536).startswith(b"250 ")
    began = time.monotonic()
    send(host, "alice@ours.example")
    host.wait_for_mail("alice@ours.example", 1, 2.0 * SLACK)
    took = time.monotonic() - began
    time.sleep(3)  # what the list has led to goes on meanwhile
    send(host, "alice@ours.example")
    host.wait_for_mail("alice@ours.example", 2, 2.0 * SLACK)
    noops.done.set()
    noops.join()
    print(f"local mail {took:.2f} s, {noops.asked} NOOPs, the longest {noops.longest * 1e3:.0f} ms")
    # Each member once, beside the other messages.
    summary = json.loads(host.command("queue", "summary", "--json").splitlines()[0])
    assert summary["counts"]["recipients"] == 3 * 75 + 100 + 4990
    assert noops.asked > 50
    assert noops.longest < 0.1 * SLACK

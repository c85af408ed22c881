"""Measures how long live mail takes while a lot of mail for a dead host is due."""

from __future__ import annotations

import smtplib
import socket
import socketserver
import statistics
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from queue_filling import fill

from live_servers import Host

WAYS = ("refuses", "silent")
PACE = 0.05  # seconds between two live messages
LIVE = 400  # messages that are sent during the measurement
OLD = 500  # messages for the live host that wait behind those for the dead one

TOML = """
hostname = "mx.bench.example"
state = "state"
[[listen]]
name = "mx"
endpoint = "tcp:0:interface=127.0.0.1"
limits = {{ messages = 100000 }}
[[relay]]
plugin = "networks"
networks = ["127.0.0.0/8"]
[[route]]
plugin = "smarthost"
domains = ["dead.example"]
host = "127.0.0.1"
port = {dead}
[[route]]
plugin = "smarthost"
domains = ["live.example"]
host = "127.0.0.1"
port = {live}
[queue]
plugin = "sqlite"
[deliver.smtp]
plugin = "smtp"
"""


class Sink(socketserver.ThreadingTCPServer):
    """Accepts all mail, and notes when the first message for each recipient came."""

    daemon_threads = True
    request_queue_size = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.came: dict[str, float] = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Taking(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Sink)
        recipients: list[str] = []
        self.wfile.write(b"220 sink ESMTP\r\n")
        for line in self.rfile:
            verb = line[:4].upper()
            if verb == b"RCPT":
                recipients.append(line[8:].split(b">")[0].strip(b"<").decode())
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                while self.rfile.readline() not in (b".\r\n", b""):
                    pass
                now = time.monotonic()
                for each in recipients:
                    self.server.came.setdefault(each, now)
                recipients.clear()
            self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 fine\r\n")
            if verb == b"QUIT":
                return


def run(folder: Path, messages: int, how: str, live: int = LIVE) -> dict[str, Any]:
    """The figures by name: beside an empty queue, then beside so many dead messages."""
    say: dict[str, Any] = {"messages for the dead host": messages, "it": how}
    for name, count in (("alone", 0), ("beside them", messages)):
        with ExitStack() as stack:
            sink = stack.enter_context(Sink())
            stack.callback(sink.shutdown)
            dead = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=100))
            toml = TOML.format(dead=dead.getsockname()[1], live=sink.server_address[1])
            if how == "refuses":
                dead.close()
            _measure(folder / name.replace(" ", "-"), toml, count, live, sink, name, say)
    return say


def _measure(
    folder: Path, toml: str, count: int, live: int, sink: Sink, name: str, say: dict[str, Any]
) -> None:
    queue = folder / "state" / "queue"
    queue.mkdir(parents=True)
    overdue = time.time() - 600
    # The messages for the dead host are more overdue than the others.
    fill(queue, count + OLD, 1024, lambda number: _addresses(number, count),
         lambda number: overdue + number / (count + OLD))  # fmt: skip
    with Host(folder, toml) as host:
        began = time.monotonic()
        sent: dict[str, float] = {}
        with smtplib.SMTP("127.0.0.1", host.port()) as client:
            for number in range(live):
                address = f"new{number}@live.example"
                client.sendmail("a@client.example", [address], b"Subject: live\r\n\r\nlive\r\n")
                sent[address] = time.monotonic()
                time.sleep(PACE)
        old = [f"old{number}@live.example" for number in range(OLD)]
        end = time.monotonic() + 120
        while time.monotonic() < end and not all(each in sink.came for each in (*sent, *old)):
            time.sleep(0.1)
        missing = [each for each in (*sent, *old) if each not in sink.came]
        delays = sorted((sink.came[each] - sent[each]) * 1000 for each in sent if each in sink.came)
        waits = [sink.came[each] - began for each in old if each in sink.came]
        say[f"live mail, {name}: median ms"] = round(statistics.median(delays), 1)
        say[f"live mail, {name}: 99th percentile ms"] = round(delays[len(delays) * 99 // 100], 1)
        say[f"live mail, {name}: slowest ms"] = round(delays[-1], 1)
        say[f"{OLD} that waited for the living host, {name}: last after s"] = round(max(waits), 2)
        say[f"not arrived within two minutes, {name}"] = len(missing)


def _addresses(number: int, dead: int) -> tuple[str, str]:
    if number < dead:
        return f"s{number}@client.example", f"u{number}@dead.example"
    return f"s{number}@client.example", f"old{number - dead}@live.example"

"""mailframe, run by twistd, with its queue in SQLite and with one or two workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from live_servers import Host

from .running import HOSTNAME, MESSAGE_SIZE, Peer, Running, certificate

_TOML = """
hostname = "{hostname}"
state = "state"
workers = {workers}
{tls}
[limits]
connections = 50000
connections_per_client = 50000
messages = 100000
message_size = {size}
[[listen]]
name = "mx"
endpoint = "tcp:0:interface=127.0.0.1:backlog=500"
[[relay]]
plugin = "inbound"
domains = ["bench.example"]
{route}
[queue]
plugin = "sqlite"
[deliver.discard]
plugin = "discard"
[deliver.maildir]
plugin = "maildir"
path = "mail/{{domain}}/{{user}}/Maildir"
[deliver.smtp]
plugin = "smtp"
"""
_MAILBOXES = """
[[route]]
plugin = "mailboxes"
domains = ["bench.example"]
file = "mailboxes"
deliver = "{agent}"
"""
_SMARTHOST = """
[[route]]
plugin = "smarthost"
host = "127.0.0.1"
port = {sink}
tls = "never"
"""


def settings(task: str, sink: int = 0, workers: int = 1) -> str:
    """The configuration. For the task "tls", the certificates are in "live"."""
    agent = "maildir" if task == "maildir" else "discard"
    return _TOML.format(
        hostname=HOSTNAME,
        workers=workers,
        size=MESSAGE_SIZE,
        tls='[tls]\ncertificates = "live"' if task == "tls" else "",
        route=_SMARTHOST.format(sink=sink) if task == "relay" else _MAILBOXES.format(agent=agent),
    )


@contextmanager
def mailframe(
    folder: Path, task: str, sink: int, workers: int = 1, tree: Path | None = None
) -> Iterator[Running]:
    """Runs one process, or a supervisor and so many workers. `tree` is another checkout to run."""
    folder.mkdir(parents=True)
    if task == "tls":
        certificate(folder)
    host = Host(folder, settings(task, sink, workers), mailboxes="box\n")
    if tree is not None:
        host.run_from(tree)
    with host:
        assert host.process.process is not None
        maildir = folder / "mail" / "bench.example" / "box" / "Maildir"
        yield Running(host.port(), host.process.process.pid, maildir)


@contextmanager
def mailframe_2(folder: Path, task: str, sink: int) -> Iterator[Running]:
    """Runs it with two workers."""
    with mailframe(folder, task, sink, workers=2) as server:
        yield server


def of_tree(tree: Path, workers: int = 1) -> Peer:
    """The mailframe of another checkout, run by this interpreter and with its packages."""

    def peer(folder: Path, task: str, sink: int) -> AbstractContextManager[Running]:
        return mailframe(folder, task, sink, workers, tree)

    return peer

"""The servers, each made ready for one task; all sync a message before its 250.

A task is "discard" (accept durably, then forget), "maildir", "relay" (to a sink's port) or
"tls" (as discard, with STARTTLS offered).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from live_servers import Host, Postfix, Process, answers, free_port, let_daemons_reach
from mailframe.testing.certificates import make_authority

PEERS = Path(__file__).parents[1] / "build" / "peers"


@dataclass(frozen=True)
class Running:
    """A server at work: its port, its first process, the Maildir that it delivers to."""

    port: int
    pid: int
    maildir: Path

    def delivered(self) -> int:
        """Messages in the Maildir."""
        new = self.maildir / "new"
        return len(list(new.iterdir())) if new.exists() else 0


#: Makes a server for (folder, task, the sink's port); None: it is not installed.
Peer: TypeAlias = Callable[[Path, str, int], AbstractContextManager[Running | None]]

_TOML = """
hostname = "mx.bench.example"
state = "state"
{tls}
[[listen]]
name = "mx"
endpoint = "tcp:0:interface=127.0.0.1:backlog=500"
limits = {{ connections_per_client = 1000, messages = 100000 }}
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


@contextmanager
def mailframe(folder: Path, task: str, sink: int) -> Iterator[Running]:
    """mailframe by twistd, its queue in SQLite."""
    folder.mkdir(parents=True)
    tls = ""
    if task == "tls":
        make_authority().issue("mx.bench.example").write_live(folder / "live")
        tls = '[tls]\ncertificates = "live"'
    agent = "maildir" if task == "maildir" else "discard"
    route = _SMARTHOST.format(sink=sink) if task == "relay" else _MAILBOXES.format(agent=agent)
    with Host(folder, _TOML.format(tls=tls, route=route), mailboxes="box\n") as host:
        assert host.process.process is not None
        maildir = folder / "mail" / "bench.example" / "box" / "Maildir"
        yield Running(host.port(), host.process.process.pid, maildir)


@contextmanager
def postfix(folder: Path, task: str, sink: int) -> Iterator[Running]:
    """Postfix as Debian builds it."""
    main = {
        "virtual_mailbox_domains": "bench.example",
        "virtual_mailbox_maps": "static:box/",
        "smtpd_client_connection_count_limit": "0",
        "message_size_limit": str(50 << 20),
        "virtual_mailbox_limit": "0",
    }
    if task == "relay":
        main |= {"virtual_mailbox_domains": "", "relay_domains": "bench.example"}
        main |= {"relayhost": f"[127.0.0.1]:{sink}"}
    elif task != "maildir":
        main["virtual_transport"] = "discard:"
    if task == "tls":
        folder.mkdir(parents=True)
        live = make_authority().issue("mx.bench.example").write_live(folder / "live")
        main |= {"smtpd_tls_security_level": "may"}
        main |= {"smtpd_tls_cert_file": f"{live}/fullchain.pem"}
        main |= {"smtpd_tls_key_file": f"{live}/privkey.pem"}
    with Postfix(folder, free_port(), **main) as peer:
        pid = int((folder / "queue" / "pid" / "master.pid").read_text())
        yield Running(peer.port, pid, folder / "mail" / "box")


@contextmanager
def exim(folder: Path, task: str, sink: int) -> Iterator[Running | None]:
    """Exim, unpacked from Debian's package."""
    program = PEERS / "exim" / "usr" / "sbin" / "exim4"
    if not program.exists() or task == "tls":
        yield None
        return
    port = free_port()
    for name in ("spool", "mail"):
        (folder / name).mkdir(parents=True)
        shutil.chown(folder / name, "Debian-exim")
    let_daemons_reach(folder)
    router = {
        "maildir": "driver = accept\n  transport = box",
        "relay": "driver = manualroute\n  route_list = * 127.0.0.1\n  self = send\n"
        "  transport = out",
    }.get(task, "driver = redirect\n  data = :blackhole:")
    config = folder / "exim.conf"
    config.write_text(_EXIM.format(folder=folder, program=program, router=router, sink=sink))
    place = f"<; [127.0.0.1]:{port}"
    process = Process(folder, [program, "-C", config, "-bdf", "-oX", place])
    with process.running(lambda: answers(port)):
        assert process.process is not None
        yield Running(port, process.process.pid, folder / "mail" / "box")


_EXIM = """\
primary_hostname = mx.bench.example
exim_path = {program}
spool_directory = {folder}/spool
log_file_path = {folder}/spool/%slog
acl_smtp_rcpt = accept
acl_smtp_data = accept
smtp_accept_max = 0
smtp_accept_queue_per_connection = 0
tls_advertise_hosts =
deliver_drop_privilege = true
begin routers
all:
  {router}
begin transports
box:
  driver = appendfile
  directory = {folder}/mail/box
  maildir_format
out:
  driver = smtp
  port = {sink}
  allow_localhost
begin retry
* * F,2h,1m
"""


@contextmanager
def aiosmtpd(folder: Path, task: str, sink: int) -> Iterator[Running | None]:
    """aiosmtpd with a handler that writes and syncs a file for each message."""
    python = PEERS / "aiosmtpd" / "bin" / "python"
    if not python.exists() or task not in ("discard", "maildir"):
        yield None
        return
    port = free_port()
    folder.mkdir(parents=True)
    script = Path(__file__).with_name("aiosmtpd_server.py")
    process = Process(folder, [python, script, str(port), task, folder / "box"])
    with process.running(lambda: answers(port)):
        assert process.process is not None
        yield Running(port, process.process.pid, folder / "box")


PEERS_BY_NAME: dict[str, Peer] = {
    "postfix": postfix,
    "mailframe": mailframe,
    "exim": exim,
    "aiosmtpd": aiosmtpd,
}

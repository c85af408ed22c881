"""Exim, unpacked from Debian's package (its TLS is GnuTLS)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from live_servers import Process, free_port, let_daemons_reach

from . import private_room
from .running import HOSTNAME, MESSAGE_SIZE, PEERS, Running, certificate, running

_USER = 993  # uid and gid of Debian-exim, only in its private room
_ROUTERS = {
    "maildir": "driver = accept\n  transport = box",
    "relay": "driver = manualroute\n  route_list = * 127.0.0.1\n  self = send\n  transport = out",
}
_CONFIG = """\
primary_hostname = {hostname}
exim_path = {program}
spool_directory = {folder}/spool
log_file_path = {folder}/spool/%slog
acl_smtp_rcpt = accept
acl_smtp_data = accept
smtp_accept_max = 0
smtp_accept_queue_per_connection = 0
message_size_limit = {size}
{tls}
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
def exim(folder: Path, task: str, sink: int) -> Iterator[Running | None]:
    """Runs it. It delivers each message as soon as it is accepted, in a process of its own."""
    program = PEERS / "exim" / "usr" / "sbin" / "exim4"
    if not program.exists():
        yield None
        return
    port = free_port()
    for name in ("spool", "mail"):
        (folder / name).mkdir(parents=True)
        shutil.chown(folder / name, _USER, _USER)
    let_daemons_reach(folder)
    tls = "tls_advertise_hosts ="
    if task == "tls":
        chain, key = certificate(folder, _USER)
        tls = f"tls_advertise_hosts = *\ntls_certificate = {chain}\ntls_privatekey = {key}"
    config = folder / "exim.conf"
    config.write_text(
        _CONFIG.format(
            folder=folder, program=program, hostname=HOSTNAME, size=MESSAGE_SIZE, tls=tls,
            router=_ROUTERS.get(task, "driver = redirect\n  data = :blackhole:"), sink=sink,
        )
    )  # fmt: skip
    argv: list[str | Path] = [program, "-C", config, "-bdf", "-oX", f"<; [127.0.0.1]:{port}"]
    room = private_room.write(folder, argv, {"Debian-exim": _USER})
    with running(Process(folder, room), port, folder / "mail" / "box") as server:
        yield server

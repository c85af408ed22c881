"""OpenSMTPD, unpacked from Debian's package.

It has no way to drop mail. For "discard" its deliveries are paused, so that accepted messages stay
in its queue, which costs it less than any delivery. It does not sync a message before the 250
(strace shows no fsync at all). It listens with a backlog of 5: if more clients connect at once,
some wait for seconds until TCP tries again, so it gets five sessions. The version of Debian 12
cannot do a TLS handshake (its key process does not work with OpenSSL 3), so it is left out there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from live_servers import Process, free_port, let_daemons_reach

from . import private_room
from .running import HOSTNAME, MESSAGE_SIZE, PEERS, Running, running

_USERS = {"opensmtpd": 991, "opensmtpq": 992, "box": 65534}  # only in its private room
_CONFIG = """\
smtp max-message-size "{size}"
smtp limit max-mails 100000
listen on 127.0.0.1 port {port} hostname {hostname}
action "all" {action}
match from any for domain "bench.example" action "all"
"""


@contextmanager
def opensmtpd(folder: Path, task: str, sink: int) -> Iterator[Running | None]:
    """Runs it in a private room, with its files at the paths that are built in."""
    unpacked = PEERS / "opensmtpd" / "usr"
    if not (unpacked / "sbin" / "smtpd").exists() or task == "tls":
        yield None
        return
    port = free_port()
    for name in ("var/spool/smtpd", "var/lib/opensmtpd/empty", "run", "mail", "libexec"):
        (folder / name).mkdir(parents=True)
    (folder / "var" / "spool" / "smtpd").chmod(0o711)
    shutil.chown(folder / "mail", _USERS["box"])
    shutil.copytree(unpacked / "libexec" / "opensmtpd", folder / "libexec" / "opensmtpd")
    let_daemons_reach(folder / "libexec" / "opensmtpd")
    relay = f'relay host "smtp://127.0.0.1:{sink}"'
    action = relay if task == "relay" else f'maildir "{folder}/mail/box"'
    config = folder / "smtpd.conf"
    config.write_text(
        _CONFIG.format(size=MESSAGE_SIZE, port=port, hostname=HOSTNAME, action=action)
    )
    argv: list[str | Path] = [unpacked / "sbin" / "smtpd", "-d", "-f", config]
    argv += [] if task in ("maildir", "relay") else ["-P", "mda"]
    mounts = {
        "/var/spool": folder / "var" / "spool", "/var/lib": folder / "var" / "lib",
        "/run": folder / "run", "/usr/libexec": folder / "libexec",
    }  # fmt: skip
    room = private_room.write(folder, argv, _USERS, mounts)
    with running(Process(folder, room), port, folder / "mail" / "box") as server:
        yield replace(server, sessions=5)

"""OpenSMTPD, unpacked from Debian's package.

Nothing in it drops mail: for "discard" its deliveries are paused, so that accepted messages
stay in its queue, which costs it less than any delivery would. It does not sync a message
before the 250 (strace shows no fsync at all), and it listens with a backlog of 5: where more
connect at once, some wait for seconds until TCP tries again, so it gets five sessions. The one
of Debian 12 cannot do a TLS handshake (its key process does not fit OpenSSL 3), so it is left
out there.
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

_USERS = {"opensmtpd": 991, "opensmtpq": 992, "box": 65534}  # in its private room only
_CONFIG = """\
smtp max-message-size "{size}"
smtp limit max-mails 100000
listen on 127.0.0.1 port {port} hostname {hostname}
action "all" {action}
match from any for domain "bench.example" action "all"
"""


@contextmanager
def opensmtpd(folder: Path, task: str, sink: int) -> Iterator[Running | None]:
    """Its queue, its control socket and its programs are where it looks for them."""
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

"""Runs a daemon that has its users and its paths built in, without installing it.

It gets a mount namespace of its own (unshare(1), which needs root) in which its folders and users
exist. The system's own folders and users stay as they are. The process is the daemon itself,
without a wrapper, and /proc shows it as usual.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

# The file may be a link into /run, which is empty in the namespace.
_RESOLVE = """\
place=$(readlink -m /etc/resolv.conf)
[ -e "$place" ] || {{ mkdir -p "${{place%/*}}" && : > "$place"; }}
mount --bind {} "$place"\
"""


def write(
    folder: Path,
    argv: Sequence[str | Path],
    users: Mapping[str, int],
    mounts: Mapping[str, Path] | None = None,
) -> list[str | Path]:
    """The command line that runs `argv` in the room; what it needs is written into `folder`.

    `users` are names with the number of the user and of its group. `mounts` says which folder is
    visible at which path; the path must exist. A daemon that reads resolv.conf like OpenBSD looks
    names up only in /etc/hosts, so that no name server is measured.
    """
    (folder / "resolv.conf").write_text("lookup file\n")
    for name, row in (("passwd", "{0}:x:{1}:{1}::{2}:/bin/sh\n"), ("group", "{0}:x:{1}:\n")):
        rows = [row.format(user, number, folder) for user, number in users.items()]
        known = Path("/etc", name).read_text().splitlines(keepends=True)
        rows += [line for line in known if line.split(":")[0] not in users]
        (folder / name).write_text("".join(rows))
    bound = {"/etc/passwd": folder / "passwd", "/etc/group": folder / "group", **(mounts or {})}
    lines = ["#!/bin/sh", "set -e"]
    lines += [f"mount --bind {shlex.quote(str(place))} {path}" for path, place in bound.items()]
    lines += [_RESOLVE.format(shlex.quote(str(folder / "resolv.conf")))]
    lines += ["exec " + " ".join(shlex.quote(str(word)) for word in argv)]
    script = folder / "room.sh"
    script.write_text("\n".join(lines) + "\n")
    return ["unshare", "--mount", "sh", script]

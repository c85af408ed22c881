"""the host's folder: who may enter, who is at home, and what lies at its door.

lock      held (flock) by the host, or by a command while no host runs
control   the unix socket that the commands ask (mode 0600)
ports     JSON, name of a listener -> [address, port], while the host runs
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path

from .account import Account


class InUse(Exception):
    """Another host, or a command that opened the store itself, holds the folder."""


class StateFolder:
    """`state` of the configuration."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.control = path / "control"
        self.ports = path / "ports"
        self._lock: int | None = None

    def take(self, whom: Account | None) -> None:
        """Make it where it is missing, mode 0700, hold it, and give it to `whom`.

        Only root can give it away. Raises InUse and OSError.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self.path.stat()
        if found.st_uid == os.geteuid():
            self.path.chmod(0o700)
        self.hold()
        if whom is None or os.geteuid() != 0:
            return
        # A host that ran as root left root's files here, and nobody else could enter. In
        # another's folder only what we made is given: it may hold links to what is not ours.
        files = self.path.rglob("*") if found.st_uid == 0 else [self.path / "lock"]
        for path in (*files, self.path):
            os.chown(path, whom.uid, whom.gid, follow_symlinks=False)

    def hold(self) -> None:
        """Be the only one at work here until `let_go` or the end of the process.

        Raises InUse, and OSError where the folder is missing or not ours to write.
        """
        # No link that lies in the way is followed.
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        lock = os.open(self.path / "lock", flags, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as wrong:
            os.close(lock)
            if isinstance(wrong, BlockingIOError):
                raise InUse(f"{self.path} is in use by another process") from None
            raise
        self._lock = lock

    def let_go(self) -> None:
        """Give the folder up; harmless where it was not held."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def write_ports(self, ports: Mapping[str, tuple[str, int]]) -> None:
        """Say where the listeners are, in one atomic step."""
        new = self.path / "ports.new"
        new.write_text(json.dumps(ports) + "\n")
        new.rename(self.ports)

    def leave(self) -> None:
        """Take `ports` and `control` away, then let go: nobody is at home. Raises OSError."""
        try:
            self.ports.unlink(missing_ok=True)
            self.control.unlink(missing_ok=True)
        finally:
            self.let_go()

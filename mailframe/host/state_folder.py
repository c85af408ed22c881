"""The host's folder: who may enter, who is at home, and what lies at its door.

secret    32 random octets, made once: what strangers must not be able to compute
lock      held (flock) by the host, or by a command while no host runs
control   the unix socket that the commands ask (mode 0600); of worker 2 control.2
ports     JSON, name of a listener -> [address, port], while the host runs
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from twisted.logger import Logger

from .privileges import Account

SECRET = 32  # octets


class InUse(Exception):
    """Another host, or a command that opened the store itself, holds the folder."""


class StateFolder:
    """`state` of the configuration, as worker number `worker` sees it."""

    _log = Logger()

    def __init__(self, path: Path, worker: int = 0) -> None:
        self.path = path
        self.control = path / (f"control.{worker}" if worker else "control")
        self.ports = path / "ports"
        self._secret = path / "secret"
        self._lock: int | None = None
        self._whom: Account | None = None

    def take(self, whom: Account | None) -> None:
        """Make it where it is missing, mode 0700, hold it, and give it to `whom`.

        Only root can give it away. Raises InUse and OSError.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self.path.stat()
        if found.st_uid == os.geteuid():
            self.path.chmod(0o700)
        self.hold()
        made = [self.path / "lock", *self._keep_secret()]
        for number in self.siblings():  # we hold the folder: nobody is behind these
            StateFolder(self.path, number).close_door()
        if whom is None or os.geteuid() != 0:
            return
        self._whom = whom
        # A host that ran as root left root's files here, and nobody else could enter. In
        # another's folder only what we made is given: it may hold links to what is not ours.
        files = self.path.rglob("*") if found.st_uid == 0 else made
        for path in (*files, self.path):
            os.chown(path, whom.uid, whom.gid, follow_symlinks=False)

    def _keep_secret(self) -> list[Path]:
        """Make the secret if there is none yet; what was made. The folder is held."""
        new = self.path / "secret.new"
        try:
            if len(self._read_secret()) == SECRET:
                return []
            new.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with os.fdopen(os.open(new, flags, 0o600), "wb") as file:
                file.write(secrets.token_bytes(SECRET))
            new.rename(self._secret)
        except OSError as failed:
            # A full disk: each process has a secret of its own until the next start.
            self._log.warn("no secret in {folder}: {why}", folder=str(self.path), why=str(failed))
            return []
        return [self._secret]

    def secret(self) -> bytes:
        """The host's secret, the same in all its processes and after a restart.

        Raises OSError, and ValueError if the file is not what was made.
        """
        found = self._read_secret()
        if len(found) != SECRET:
            raise ValueError(f"{self._secret}: {SECRET} octets are wanted")
        return found

    def _read_secret(self) -> bytes:
        try:
            with os.fdopen(os.open(self._secret, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                return file.read(SECRET + 1)
        except FileNotFoundError:
            return b""

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

    @property
    def lock(self) -> int:
        """The descriptor that holds the folder, while `hold` lasts; for other processes."""
        if self._lock is None:
            raise LookupError("the state folder is not held")
        return self._lock

    def siblings(self) -> list[int]:
        """The workers, other than worker 0, whose control sockets lie here, dead or alive."""
        found = (path.suffix[1:] for path in self.path.glob("control.*"))
        return sorted(int(number) for number in found if number.isdecimal())

    def let_go(self) -> None:
        """Give the folder up; harmless where it was not held."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def write_ports(self, ports: Mapping[str, tuple[str, int]]) -> None:
        """Say where the listeners are, in one atomic step."""
        new = self.path / "ports.new"
        new.write_text(json.dumps(ports) + "\n")
        if self._whom is not None and os.geteuid() == 0:
            os.chown(new, self._whom.uid, self._whom.gid)
        new.rename(self.ports)

    def close_door(self) -> None:
        """Take `control` away. Raises OSError."""
        self.control.unlink(missing_ok=True)

    def leave(self) -> None:
        """Take `ports` and `control` away, then let go: nobody is at home. Raises OSError."""
        try:
            self.ports.unlink(missing_ok=True)
            self.close_door()
        finally:
            self.let_go()

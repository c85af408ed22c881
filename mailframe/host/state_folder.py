"""The host's state folder: its lock, its secret and its sockets.

secret    32 random octets, made once: what strangers must not be able to compute lock      held
(flock) by the host, or by a command while no host runs control   the unix socket that the commands
ask (mode 0600); of worker 2 control.2 ports     JSON, name of a listener -> [address, port], while
the host runs
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
    """Another host holds the folder, or a command that has opened the store itself."""


class StateFolder:
    """The folder `state` of the configuration, as seen by the worker with this number."""

    _log = Logger()

    def __init__(self, path: Path, worker: int = 0) -> None:
        self.path = path
        self.control = path / (f"control.{worker}" if worker else "control")
        self.ports = path / "ports"
        self._secret = path / "secret"
        self._lock: int | None = None
        self._whom: Account | None = None

    def take(self, whom: Account | None) -> None:
        """Create the folder with mode 0700 if it is missing, hold it, and give it to `whom`.

        Only root can give it to another user. Raises InUse and OSError.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self.path.stat()
        if found.st_uid == os.geteuid():
            self.path.chmod(0o700)
        self.hold()
        made = [self.path / "lock", *self._keep_secret()]
        for number in self.siblings():  # we hold the folder, so no process serves these sockets
            StateFolder(self.path, number).close_door()
        if whom is None or os.geteuid() != 0:
            return
        self._whom = whom
        # If a host ran as root before, root owns its files here, and no other user could open them.
        # In somebody else's folder only what we have made is given away: links there may lead
        # elsewhere.
        files = self.path.rglob("*") if found.st_uid == 0 else made
        for path in (*files, self.path):
            os.chown(path, whom.uid, whom.gid, follow_symlinks=False)

    def _keep_secret(self) -> list[Path]:
        """Make the secret if there is none yet.

        Returns the files that were made. Hold the folder first.
        """
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
            # A full disk: each process uses its own secret until the next start.
            self._log.warn("no secret in {folder}: {why}", folder=str(self.path), why=str(failed))
            return []
        return [self._secret]

    def secret(self) -> bytes:
        """The host's secret: the same in all its processes and after a restart.

        Raises OSError, and ValueError if the file does not hold a secret.
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
        """Hold the folder, alone, until `let_go` or the end of the process.

        Raises InUse, and OSError if the folder is missing or cannot be written.
        """
        # A symbolic link in place of the file is not followed.
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
        """The descriptor that holds the lock while `hold` lasts, to be given to other processes."""
        if self._lock is None:
            raise LookupError("the state folder is not held")
        return self._lock

    def siblings(self) -> list[int]:
        """The workers other than worker 0 that have a control socket here, running or not."""
        found = (path.suffix[1:] for path in self.path.glob("control.*"))
        return sorted(int(number) for number in found if number.isdecimal())

    def let_go(self) -> None:
        """Release the folder; harmless if it is not held."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def write_ports(self, ports: Mapping[str, tuple[str, int]]) -> None:
        """Write down where the listeners are, in one atomic step."""
        new = self.path / "ports.new"
        new.write_text(json.dumps(ports) + "\n")
        if self._whom is not None and os.geteuid() == 0:
            os.chown(new, self._whom.uid, self._whom.gid)
        new.rename(self.ports)

    def close_door(self) -> None:
        """Remove `control`. Raises OSError."""
        self.control.unlink(missing_ok=True)

    def leave(self) -> None:
        """Remove `ports` and `control`, then release the folder. Raises OSError."""
        try:
            self.ports.unlink(missing_ok=True)
            self.close_door()
        finally:
            self.let_go()

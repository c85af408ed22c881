"""The store's folder: one process holds it, and its database is opened, or saved if it is damaged.

lock      held (flock) by the process that works here; its number inside queue.db  the database,
with queue.db-wal and queue.db-shm bodies/   bodies too large for the database corrupt/  what was
set aside as damaged ballast   space kept for the end: on a full disk it lets messages be finished
and removed
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from twisted.logger import Logger

from mailframe.files.sync import sync_folder
from mailframe.spool.bodies import Bodies

from .errors import is_damage, translated
from .ledger import Ledger
from .salvage import Salvage
from .schema import LOG, connect

_SHARE = 16  # the log and the ballast are each at most this part of the disk


class StoreFolder:
    """The folder of one store. All methods block and raise OSError.

    `generation` counts the databases; a connection to an earlier one must not be used any more.
    """

    _log = Logger()

    def __init__(self, folder: Path, now: Callable[[], float]) -> None:
        self.folder = folder
        self.database = folder / "queue.db"
        self.bodies = Bodies(folder)
        self._corrupt = folder / "corrupt"
        self.generation = 0
        self._now = now
        self._salvage = Salvage(self.database, self._corrupt, now)
        self._lock: int | None = None

    @property
    def free(self) -> int:
        """Octets that an ordinary user may still write here."""
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    @property
    def log(self) -> int:
        """Octets that the log may hold before they are copied into the database.

        Few on a small disk.
        """
        found = os.statvfs(self.folder)
        return min(LOG, found.f_blocks * found.f_frsize // _SHARE)

    @property
    def reserve(self) -> int:
        """Octets that recording departures may need, in the log and then in the database."""
        return 2 * self.log

    def open(self) -> Ledger:
        """Hold the folder, which is made if it is missing, and open the database."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._take()
        try:
            self.bodies.make()
            self._salvage.finish()
            ledger = self._open()
            sync_folder(self.folder)
            sync_folder(self.folder.parent)
            self.take_ballast()
        except BaseException as wrong:
            self.close()
            if isinstance(wrong, sqlite3.Error):
                raise translated(wrong, self.free) from wrong
            raise
        return ledger

    def _take(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        lock = os.open(self.folder / "lock", flags, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(lock, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(lock)
            raise OSError(
                errno.EAGAIN, f"the queue {self.folder} is in use by process {owner}"
            ) from None
        except OSError:
            os.close(lock)
            raise
        self._lock = lock
        os.ftruncate(lock, 0)
        os.pwrite(lock, b"%d\n" % os.getpid(), 0)

    def _open(self) -> Ledger:
        try:
            return self._ledger()
        except sqlite3.Error as wrong:
            if not is_damage(wrong):
                raise
            self.save(wrong)
            return self._ledger()

    def _ledger(self) -> Ledger:
        connection = connect(self.database, log=self.log)
        try:
            return Ledger(connection, self.bodies, self._now)
        except BaseException:
            connection.close()
            raise

    def save(self, wrong: BaseException) -> None:
        """Set the damaged database aside, and put what can be read of it into a new one."""
        self._log.critical(
            "the queue's database {path} is damaged ({reason}): saving what can be read",
            path=str(self.database),
            reason=str(wrong),
        )
        outcome = self._salvage.run(str(wrong))
        self.generation += 1
        self._log.critical("the queue's database was set aside: {outcome}", outcome=outcome)

    def reopened(self, ledger: Ledger, wrong: BaseException) -> Ledger:
        """A new ledger in place of one whose database is damaged; its leases stay valid."""
        ledger.close()
        self.save(wrong)
        new = self._ledger()
        new.adopt(ledger)
        return new

    def set_aside(self) -> list[str]:
        """One line for each database that was set aside as damaged."""
        lines = []
        for folder in sorted(path for path in self._corrupt.iterdir() if path.is_dir()):
            reason = folder / "reason"
            text = reason.read_text("utf-8").strip() if reason.exists() else "no reason is known"
            lines.append(f"{folder}: {text}")
        return lines

    def take_ballast(self) -> bool:
        """Reserve some space, if there is plenty.

        True if there is a reserve now. Raises nothing.
        """
        path = self.folder / "ballast"
        try:
            size = min(self.log, self.free // 3)
            if path.exists():
                return True
            with path.open("xb") as file:
                os.posix_fallocate(file.fileno(), 0, max(size, 4096))
        except OSError as wrong:
            path.unlink(missing_ok=True)
            self._log.warn("no space could be kept in hand: {reason}", reason=str(wrong))
            return False
        return True

    def drop_ballast(self) -> bool:
        """Free that space for work that makes more; True if there was any. OSError."""
        path = self.folder / "ballast"
        if not path.exists():
            return False
        path.unlink()
        self._log.error("the disk of {path} is full", path=str(self.folder))
        return True

    def close(self) -> None:
        """Release the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

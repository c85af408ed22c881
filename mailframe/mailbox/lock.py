"""Dovecot's dotlock: whoever has created FILE.lock may change FILE, and nobody else.

The lock holds "PID:HOSTNAME". It was left behind if that process of this host is gone, or if
neither it nor the file has changed for two minutes; then the next who wants it removes it
(Dovecot's src/lib/file-dotlock.c).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
import threading
import time
from pathlib import Path
from weakref import WeakValueDictionary

STALE = 120.0  # seconds without a change after which a lock was left behind
TIMEOUT = 30.0  # seconds to wait for the lock
_LONGEST_PAUSE = 0.05  # seconds between two tries

_OWNER = re.compile(rb"(\d{1,10}):([^\n]+)\n?")

# One thread of this process at a time tries for a lock. Hence a lock with the number of this very
# process, met while trying, is from an earlier process that had the same number.
_threads: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
_threads_guard = threading.Lock()


class MailboxBusy(Exception):
    """Somebody else kept the lock for too long; trying again later makes sense."""


class LockLost(Exception):
    """The lock was taken from us, because we kept it for too long; nothing may be written now."""


class DotLock:
    """The lock of `file`, held inside `with`. Blocks.

    MailboxBusy after `timeout` seconds of waiting. A lock that has not changed for `stale` seconds
    is removed. OSError if it cannot be created, as on a full disk.
    """

    def __init__(self, file: Path, timeout: float = TIMEOUT, stale: float = STALE) -> None:
        self._file = file
        self._path = file.with_name(f"{file.name}.lock")
        self._timeout = timeout
        self._stale = stale
        self._held = -1  # its descriptor; while that is open no other file has its inode number
        place = os.path.join(os.path.realpath(file.parent), file.name)
        with _threads_guard:
            self._thread = _threads.setdefault(place, threading.Lock())

    def __enter__(self) -> DotLock:
        end = time.monotonic() + self._timeout
        if not self._thread.acquire(timeout=self._timeout):
            raise MailboxBusy(str(self._path))
        try:
            pause = 0.001
            while not self._created():
                if self._remove_if_left():
                    continue
                if time.monotonic() >= end:
                    raise MailboxBusy(str(self._path))
                time.sleep(pause)
                pause = min(pause * 1.5, _LONGEST_PAUSE)
        except BaseException:
            self._thread.release()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        try:
            if self._ours():
                os.unlink(self._path)
        finally:
            os.close(self._held)
            self._held = -1
            self._thread.release()

    def confirm(self) -> None:
        """LockLost if the lock is not ours any more; to be asked right before a change."""
        if not self._ours():
            raise LockLost(str(self._path))

    def _ours(self) -> bool:
        held = os.fstat(self._held)
        try:
            there = os.lstat(self._path)
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)

    def _created(self) -> bool:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            lock = os.open(self._path, flags, 0o644)
        except FileExistsError:
            return False
        try:
            os.write(lock, f"{os.getpid()}:{socket.gethostname()}".encode())
        except BaseException:
            os.unlink(self._path)
            os.close(lock)
            raise
        self._held = lock
        return True

    def _remove_if_left(self) -> bool:
        """Remove the lock if it was left behind; True if it is worth trying again at once."""
        try:
            lock = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            seen, owner = os.fstat(lock), os.read(lock, 512)
        finally:
            os.close(lock)
        if not (_is_dead(owner) or self._unchanged(seen) > self._stale):
            return False
        self._remove(seen)
        return True

    def _unchanged(self, lock: os.stat_result) -> float:
        """Seconds since the lock or the file changed."""
        last = max(lock.st_mtime, lock.st_ctime)
        with contextlib.suppress(FileNotFoundError):
            last = max(last, os.lstat(self._file).st_mtime)
        return time.time() - last

    def _remove(self, seen: os.stat_result) -> None:
        # Two who found the same old lock take turns, so that the second cannot remove the new lock
        # of the first.
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if _identity(os.lstat(self._path)) == _identity(seen):
                    os.unlink(self._path)
        finally:
            os.close(folder)


def _identity(stat: os.stat_result) -> tuple[int, ...]:
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _is_dead(owner: bytes) -> bool:
    """True if the process that is named was one of this host, and is gone."""
    match = _OWNER.fullmatch(owner)
    if match is None or match[2] != os.fsencode(socket.gethostname()):
        return False
    number = int(match[1])
    if number == os.getpid():
        return True
    if number == 0:
        return False
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False

"""The files beside the messages: read with care, because the Maildir may be a stranger's, and
replaced whole.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from pathlib import Path

from ..files.sync import sync_folder
from ..maildir.mailbox import Maildir
from .lock import DotLock


def open_file(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open a plain file; the descriptor.

    FileNotFoundError, and OSError for anything else, such as a symbolic link or a pipe.
    """
    file = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "not a plain file", str(path))
    return file


def write_all(file: int, octets: bytes) -> None:
    """Write all of it. OSError; then a part may have been written."""
    rest = memoryview(octets)
    while rest:
        rest = rest[os.write(file, rest) :]


def replace(maildir: Maildir, name: str, octets: bytes, lock: DotLock) -> os.stat_result:
    """Put a file with these octets in place of `name`; once it returns it survives a power cut.

    The old file's owner and mode stay. OSError or LockLost, and the old file is as it was.
    """
    path = maildir.path / name
    draft = maildir.path / "tmp" / f"{name}.{os.getpid()}.{secrets.token_hex(8)}"
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            _keep_owner(file, path, maildir)
            write_all(file, octets)
            os.fsync(file)
            state = os.fstat(file)
        finally:
            os.close(file)
        lock.confirm()
        os.rename(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(maildir.path)
    return state


def _keep_owner(file: int, old: Path, maildir: Maildir) -> None:
    try:
        before = os.lstat(old)
    except FileNotFoundError:
        if maildir.owner.chosen:
            os.fchown(file, maildir.owner.uid, maildir.owner.gid)
        return
    now = os.fstat(file)
    if (before.st_uid, before.st_gid) != (now.st_uid, now.st_gid):
        os.fchown(file, before.st_uid, before.st_gid)
    if stat.S_ISREG(before.st_mode):
        os.fchmod(file, stat.S_IMODE(before.st_mode) & 0o666)

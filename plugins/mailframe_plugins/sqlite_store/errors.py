"""SQLite's errors as the queue's contract wants them: OSError with an errno."""

from __future__ import annotations

import errno
import sqlite3

_FULL, _READ_ONLY, _CANNOT_OPEN = 13, 8, 14
_BUSY, _LOCKED, _IO, _CORRUPT, _CONSTRAINT, _NOT_A_DATABASE = 5, 6, 10, 11, 19, 26

_NUMBERS = {
    _FULL: errno.ENOSPC,
    _READ_ONLY: errno.EROFS,
    _CANNOT_OPEN: errno.EACCES,
    _BUSY: errno.EAGAIN,
    _LOCKED: errno.EAGAIN,
    _IO: errno.EIO,
    _CONSTRAINT: errno.EEXIST,
}


def code_of(error: BaseException) -> int:
    """SQLite's primary result code; 0 for other errors."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def is_damage(error: BaseException) -> bool:
    """True if the database file itself is damaged (a page, or the header)."""
    return isinstance(error, sqlite3.Error) and code_of(error) in (_CORRUPT, _NOT_A_DATABASE)


def damage(message: str) -> sqlite3.DatabaseError:
    """The error for a damaged database, if this code and not SQLite has found the damage."""
    error = sqlite3.DatabaseError(message)
    error.sqlite_errorcode = _CORRUPT
    return error


def is_full(error: BaseException) -> bool:
    """True if there is no space left, as far as SQLite says."""
    if isinstance(error, sqlite3.Error):
        return code_of(error) in (_FULL, _IO)
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def translated(error: BaseException, free: int) -> BaseException:
    """An OSError for SQLite's error, any other one as it is; `free` octets are left on the disk.

    If a shared-memory file cannot grow, SQLite reports an I/O error. With almost no space left,
    that means a full disk.
    """
    if not isinstance(error, sqlite3.Error):
        return error
    number = _NUMBERS.get(code_of(error), errno.EIO)
    if number == errno.EIO and free < 1 << 18:
        number = errno.ENOSPC
    told = OSError(number, f"the queue's database: {error}")
    told.__cause__ = error
    return told

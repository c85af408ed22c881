"""UIDVALIDITY for folders of one account: each is greater than all before it.

Dovecot keeps the last one in the account's root, as 8 hexadecimal digits: in the name of the empty
file `dovecot-uidvalidity.XXXXXXXX`, whose renaming decides between two who ask at once, and in
`dovecot-uidvalidity` (src/lib-storage/mailbox-uidvalidity.c).
"""

from __future__ import annotations

import contextlib
import os
import re

from ..maildir.mailbox import Maildir
from .beside import open_file, write_all

_NAME = "dovecot-uidvalidity"
_DIGITS = re.compile(r"[0-9a-f]{8}")
_TRIES = 100


def next_uidvalidity(account: Maildir, now: float, above: int = 0) -> int:
    """A value that no folder of this account has had, greater than `above`. OSError.

    `now` is seconds since the epoch; the value is at least that, so that it grows even if all files
    were lost (RFC 9051 section 2.3.1.1 recommends it).
    """
    for _ in range(_TRIES):
        highest = max(_markers(account), default=0)
        value = max(int(now), above + 1, highest + 1, _last(account) + 1)
        marker = account.path / f"{_NAME}.{value:08x}"
        try:
            if highest:
                os.rename(account.path / f"{_NAME}.{highest:08x}", marker)
            else:
                _create(account, marker.name)
        except (FileNotFoundError, FileExistsError):
            continue  # somebody else asked at the same time
        _remember(account, value)
        return value
    raise OSError(f"{account.path}: {_NAME} changes too often")


def _markers(account: Maildir) -> list[int]:
    found = []
    with os.scandir(account.path) as entries:
        for entry in entries:
            name, _, digits = entry.name.partition(".")
            if name == _NAME and _DIGITS.fullmatch(digits):
                found.append(int(digits, 16))
    return found


def _last(account: Maildir) -> int:
    try:
        file = open_file(account.path / _NAME)
    except FileNotFoundError:
        return 0
    try:
        digits = os.read(file, 8).decode("ascii", "replace")
    finally:
        os.close(file)
    return int(digits, 16) if _DIGITS.fullmatch(digits) else 0


def _create(account: Maildir, name: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    file = os.open(account.path / name, flags, 0o444)
    try:
        if account.owner.chosen:
            os.fchown(file, account.owner.uid, account.owner.gid)
    finally:
        os.close(file)


def _remember(account: Maildir, value: int) -> None:
    with contextlib.suppress(FileExistsError):
        _create(account, _NAME)
        os.chmod(account.path / _NAME, 0o600)
    file = open_file(account.path / _NAME, os.O_WRONLY)
    try:
        write_all(file, f"{value:08x}".encode())
    finally:
        os.close(file)

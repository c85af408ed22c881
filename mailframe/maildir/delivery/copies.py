"""Writes copies durably: tmp, sync, new, sync. Many copies together share the syncs.

A message in new is always complete, and a failure that this process survives leaves no file in tmp.
Everything here blocks: use a thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...files.sync import sync_folder
from ...final_delivery import LineEnder, LineEnds
from ...message import Content
from .. import quota as quotas
from ..filename import UniqueNames, with_sizes
from ..mailbox import Maildir
from ..quota import Quota

CHUNK = 1 << 18  # octets of one read of content that is not in memory


@dataclass(frozen=True, slots=True)
class Copy:
    """One message for one mailbox; `head` are header lines to put on top, each ended by CRLF.

    `folder` is where it goes, and `account` is the Maildir whose quota counts it. If `quota` is
    None, the quota is the one in its maildirsize, if there is one. `create` makes the Maildir if it
    does not exist.
    """

    folder: Maildir
    head: bytes
    content: Content
    account: Maildir
    quota: Quota | None = None
    create: bool = True
    line_ends: LineEnds = "lf"


class _Draft:
    """A copy on its way from tmp to new."""

    def __init__(self, copy: Copy, unique: str) -> None:
        self.copy = copy
        self.unique = unique
        self.folder = str(copy.folder.path)
        self.place = f"{self.folder}/tmp/{unique}"
        self.final = ""
        self.file = -1
        self.size = 0
        self.reserved = 0
        self.failed: Exception | None = None

    def write(self) -> None:
        """Write the octets into tmp, without a sync."""
        folder = self.copy.folder
        try:
            self.file = _create(self.place)
        except FileNotFoundError:
            if not self.copy.create:
                raise
            folder.create()
            self.file = _create(self.place)
        if folder.owner.chosen:
            os.fchown(self.file, folder.owner.uid, folder.owner.gid)
        ender = LineEnder(self.copy.line_ends)
        content = self.copy.content
        if isinstance(content.body, bytes):
            octets = ender.feed(self.copy.head + content.prefix + content.body)
            _write(self.file, octets + ender.finish())
        else:
            _write(self.file, ender.feed(self.copy.head))
            with content.open() as source:
                while octets := source.read(CHUNK):
                    _write(self.file, ender.feed(octets))
            _write(self.file, ender.finish())
        self.size = ender.size
        self.final = f"{self.folder}/new/{with_sizes(self.unique, ender.size, ender.wire_size)}"

    def publish(self, now: float, counted: bool) -> None:
        """Reserve its space in the quota, if there is one, and move it to new."""
        if counted:
            # Not earlier, so that a count finds what was published a moment ago.
            account = self.copy.account
            quotas.reserve(account, self.copy.quota, self.size, self.unique + "q", now)
            self.reserved = self.size
        os.rename(self.place, self.final)
        self.place = self.final

    def close(self) -> None:
        """Close the file, if it is open."""
        if self.file >= 0:
            os.close(self.file)
            self.file = -1

    def withdraw(self, why: Exception) -> None:
        """Remove its file, and keep the reason."""
        self.failed = why
        with contextlib.suppress(OSError):  # may fail like the step before; `why` is reported
            os.unlink(self.place)
        if self.reserved:
            with contextlib.suppress(OSError):
                quotas.add(self.copy.account, -self.reserved, -1)
            self.reserved = 0


def deliver(
    copies: Sequence[Copy],
    names: UniqueNames,
    syncfs_from: int = 0,
) -> list[Exception | None]:
    """Deliver all copies. The result is None for each one that now survives a power cut.

    For the others it is the exception that says why they were not delivered: OSError, OverQuota, or
    whatever opening the content raised. If there are `syncfs_from` copies or more (0: never), whole
    file systems are synced, which is faster than file by file. That is done only if the kernel
    reports their errors.
    """
    drafts = [_Draft(copy, names.new()) for copy in copies]
    counted = functools.cache(quotas.is_kept)
    many = syncfs_from if syncfs_from > 0 and can_syncfs() else len(drafts) + 1
    try:
        _each_folder(drafts, lambda some: some[0].copy.folder.check())
        _each(drafts, _Draft.write)
        if len(drafts) >= many:
            _each_device(drafts)
        else:
            _each(drafts, lambda draft: os.fsync(draft.file))
        _each(
            drafts,
            lambda draft: draft.publish(names.now(), counted(draft.copy.account, draft.copy.quota)),
        )
        if len({draft.folder for draft in drafts}) >= many:
            _each_device(drafts)
        else:
            _each_folder(drafts, lambda some: sync_folder(Path(some[0].folder, "new")))
    finally:
        for draft in drafts:
            draft.close()
    return [draft.failed for draft in drafts]


def _each(drafts: Iterable[_Draft], step: Callable[[_Draft], None]) -> None:
    """Do the step for all drafts that have not failed yet.

    If it fails for one, that one is withdrawn.
    """
    for draft in drafts:
        if draft.failed is None:
            try:
                step(draft)
            # Any exception (the code that opens the content is not ours); the others go on.
            except Exception as why:  # noqa: BLE001
                draft.withdraw(why)


def _each_device(drafts: Iterable[_Draft]) -> None:
    """Sync the file systems that the drafts are on."""
    devices: dict[int, list[_Draft]] = {}

    def sort(some: list[_Draft]) -> None:
        devices.setdefault(os.fstat(some[0].file).st_dev, []).extend(some)

    _each_folder(drafts, sort)
    for together in devices.values():
        _all_or_none(together, lambda some: _syncfs(some[0].file))


def _each_folder(drafts: Iterable[_Draft], step: Callable[[list[_Draft]], None]) -> None:
    """Do the step once for each folder, with all of its drafts."""
    folders: dict[str, list[_Draft]] = {}
    for draft in drafts:
        if draft.failed is None:
            folders.setdefault(draft.folder, []).append(draft)
    for together in folders.values():
        _all_or_none(together, step)


def _all_or_none(drafts: list[_Draft], step: Callable[[list[_Draft]], None]) -> None:
    try:
        step(drafts)
    # Any exception; the others go on.
    except Exception as why:  # noqa: BLE001
        for draft in drafts:
            draft.withdraw(why)


def _create(path: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, 0o600)


def _write(file: int, octets: bytes) -> None:
    written = os.write(file, octets) if octets else 0
    if written < len(octets):  # a nearly full disk may take a part, and fail at the next write
        rest = memoryview(octets)
        while written < len(octets):
            written += os.write(file, rest[written:])


@functools.cache
def can_syncfs() -> bool:
    """True if syncfs(2) exists and reports failed writes: on Linux 5.8 and later."""
    match = re.match(r"(\d+)\.(\d+)", platform.release())
    if platform.system() != "Linux" or match is None:
        return False
    return (int(match.group(1)), int(match.group(2))) >= (5, 8) and hasattr(_libc(), "syncfs")


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _syncfs(file: int) -> None:
    if _libc().syncfs(file) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

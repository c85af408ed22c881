"""Message bodies in files: `bodies/ID.body`, mode 0600.

A file is written and synced, and then its folder, before the row that names it is committed. It is
removed after the removal of the row is committed. A crash between the two leaves a file without a
row, which the sweep at the next start removes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import quote, unquote
from zlib import crc32

from twisted.logger import Logger

from ..files.sync import sync_folder
from ..message.codec import Damaged

_PIECE = 1 << 18  # octets of one read
_ENDING = ".body"


class StoredBody(NamedTuple):
    """What is known of a body before it is read.

    `check` is the CRC-32 of the body followed by the prefix.
    """

    id: str
    size: int
    file: bool
    check: int
    prefix: bytes

    def verify(self, octets: bytes) -> None:
        """Raises Damaged if these are not the octets that were stored."""
        if len(octets) != self.size:
            raise Damaged(f"its body has {len(octets)} octets instead of {self.size}")
        if crc32(self.prefix, crc32(octets)) != self.check:
            raise Damaged("its body's checksum is wrong")


class Bodies:
    """The folders `bodies` and `corrupt`.

    All methods block, and raise OSError if a file cannot be used.
    """

    _log = Logger()

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "bodies"
        self._corrupt = folder / "corrupt"

    def make(self) -> None:
        """Make the folders if they are missing."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._corrupt.mkdir(mode=0o700, exist_ok=True)

    def path(self, id: str) -> Path:
        """The path of this message's body."""
        return self._folder / (quote(id, safe="") + _ENDING)

    def create(self, id: str) -> int:
        """A descriptor of a new file, for writing. FileExistsError if there is one already."""
        return os.open(self.path(id), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def sync(self, descriptor: int) -> None:
        """Sync the file and its name; once this returns, both survive a power cut."""
        os.fsync(descriptor)
        sync_folder(self._folder)

    def open(self, body: StoredBody) -> BinaryIO:
        """The body of this message, after it was read once to check it. Raises Damaged, OSError."""
        try:
            file = self.path(body.id).open("rb")
        except FileNotFoundError:
            raise Damaged("the file of its body is missing") from None
        try:
            self._check(file, body)
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    def _check(self, file: BinaryIO, body: StoredBody) -> None:
        size = os.fstat(file.fileno()).st_size
        if size != body.size:
            raise Damaged(f"the file of its body has {size} octets instead of {body.size}")
        found = 0
        while piece := file.read(_PIECE):
            found = crc32(piece, found)
        if crc32(body.prefix, found) != body.check:
            raise Damaged("the checksum of its body's file is wrong")

    def remove(self, id: str) -> None:
        """Remove the file; if that fails, the sweep at the next start does it."""
        try:
            self.path(id).unlink(missing_ok=True)
        except OSError as wrong:
            self._log.error("{id}: its body stays: {reason}", id=id, reason=str(wrong))

    def set_aside(self, id: str) -> None:
        """Move the file, if there is one, to `corrupt`."""
        path = self.path(id)
        try:
            if path.exists():
                path.rename(self._corrupt / path.name)
        except OSError as wrong:
            self._log.error("{id}: its body stays: {reason}", id=id, reason=str(wrong))

    def found(self) -> list[str]:
        """The ids of all files that exist now."""
        names = os.listdir(self._folder)
        return [unquote(name.removesuffix(_ENDING)) for name in names if name.endswith(_ENDING)]

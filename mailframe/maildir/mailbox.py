"""One Maildir: its folders, its messages and their flags. Everything here blocks: use a thread."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..files.sync import sync_folder
from .filename import FileName
from .owner import Owner

_FOLDER = re.compile(r"(\.[^./\x00]+)+", re.DOTALL)
STALE = 36 * 3600.0  # seconds; a file that has been in tmp for longer will never be finished


@dataclass(frozen=True, slots=True)
class Stored:
    """A message in a Maildir. `recent` is True if it is in new, so no reader has seen it yet."""

    file: str
    recent: bool

    @property
    def name(self) -> FileName:
        """The parts of the file's name."""
        return FileName.parse(self.file)


@dataclass(frozen=True, slots=True)
class Maildir:
    """A Maildir at `path`, or a Maildir++ folder in one.

    `root` is a folder that the path must not leave once symbolic links are followed; None allows
    any place. `owner` owns what is created. Modes are 0700 and 0600.
    """

    path: Path
    root: Path | None = None
    owner: Owner = Owner()

    def exists(self) -> bool:
        """True if there is a Maildir here."""
        return (self.path / "new").is_dir() and (self.path / "cur").is_dir()

    def create(self) -> None:
        """Make the Maildir and the folders above it; once this returns they survive a power cut.

        Does nothing if everything exists already. OSError if it cannot be made.
        """
        above = [path for path in (self.path, *self.path.parents) if not path.exists()]
        inside = [self.path / name for name in ("tmp", "new", "cur")]
        for path in (*reversed(above), *inside):
            try:
                os.mkdir(path, 0o700)
            except FileExistsError:
                continue
            if self.owner.chosen:
                os.chown(path, self.owner.uid, self.owner.gid, follow_symlinks=False)
            sync_folder(path.parent)

    def check(self, *also: str) -> None:
        """OSError (ELOOP) if symbolic links lead out of `root`.

        Looks at the folders that delivery uses, and at those in `also`.
        """
        if self.root is None:
            return
        path = self.root
        below = (*self.path.relative_to(self.root).parts, "tmp")
        links = False
        for name in below:
            path = path / name
            links = links or os.path.islink(path)
        if not links and not any(os.path.islink(self.path / each) for each in ("new", *also)):
            return
        root = os.path.realpath(self.root)
        for inside in ("tmp", "new", *also):
            real = os.path.realpath(self.path / inside)
            if os.path.commonpath((root, real)) != root:
                raise OSError(errno.ELOOP, "the mailbox leads out of its folder", str(self.path))

    def folder(self, name: str) -> Maildir:
        """The Maildir++ folder of this name; "" is the inbox, and dots separate levels.

        ValueError if it cannot be the name of a folder.
        """
        if not name:
            return self
        if not _FOLDER.fullmatch(f".{name}"):
            raise ValueError(f"{name!r} is not a name of a Maildir++ folder")
        return Maildir(self.path / f".{name}", self.root, self.owner)

    def folders(self) -> list[str]:
        """The names of the Maildir++ folders, without the inbox, sorted."""
        with os.scandir(self.path) as entries:
            names = [e.name[1:] for e in entries if _FOLDER.fullmatch(e.name) and e.is_dir()]
        return sorted(name for name in names if self.folder(name).exists())

    def messages(self) -> Iterator[Stored]:
        """All messages of this folder, in no particular order.

        FileNotFoundError if there is no folder.
        """
        for inside in ("new", "cur"):
            with os.scandir(self.path / inside) as entries:
                for entry in entries:
                    if not entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
                        yield Stored(entry.name, recent=inside == "new")

    def file(self, message: Stored) -> Path:
        """The path of the message's file."""
        return self.path / ("new" if message.recent else "cur") / message.file

    def open(self, message: Stored) -> BinaryIO:
        """The message's octets, with line ends as they are stored."""
        return open(self.file(message), "rb")

    def size(self, message: Stored) -> int:
        """Octets on disk: from the name, or else the size of the file."""
        said = message.name.size
        return said if said is not None else self.file(message).stat().st_size

    def set_flags(self, message: Stored, flags: Iterable[str]) -> Stored:
        """Give the message these flags, which moves it to cur.

        Returns the message with its new name.
        """
        moved = Stored(str(message.name.with_flags(flags)), recent=False)
        os.rename(self.file(message), self.file(moved))
        return moved

    def remove(self, message: Stored) -> None:
        """Remove the message. FileNotFoundError if another reader has done so."""
        os.unlink(self.file(message))

    def clean(self, now: float) -> int:
        """Remove files that a crash left in tmp 36 hours ago or earlier; returns their number."""
        removed = 0
        with os.scandir(self.path / "tmp") as entries:
            for entry in entries:
                # Another reader of this Maildir may be cleaning too.
                with contextlib.suppress(FileNotFoundError):
                    if now - entry.stat(follow_symlinks=False).st_mtime > STALE:
                        os.unlink(entry.path)
                        removed += 1
        return removed

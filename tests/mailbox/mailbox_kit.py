"""A Maildir for tests of the store, and ways to put messages into it as other programs do."""

from __future__ import annotations

import os
import time
from pathlib import Path

from mailframe.mailbox import Folder
from mailframe.mailbox.scan import QUIET
from mailframe.mailbox.uidlist import UidList
from mailframe.maildir import Maildir, UniqueNames
from mailframe.maildir.filename import with_sizes

NAMES = UniqueNames("mx.example.org", time.time)
BODY = b"Subject: test\n\nHello\n"


class Place:
    """One Maildir that is its own account."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.maildir = Maildir(path)
        self.maildir.create()

    def open(self, **more: object) -> Folder:
        return Folder(self.maildir, self.maildir, NAMES, **{"timeout": 5.0, **more})  # type: ignore[arg-type]

    def list(self, timeout: float = 5.0, stale: float = 120.0) -> UidList:
        found = UidList(self.maildir, self.maildir, time.time, timeout, stale)
        found.read()
        return found

    def put(self, name: str = "", inside: str = "new", body: bytes = BODY) -> str:
        """Add a message by way of tmp; its file's name. Without a name, one with its sizes."""
        name = name or with_sizes(NAMES.new(), len(body), len(body) + body.count(b"\n"))
        draft = self.path / "tmp" / name
        draft.write_bytes(body)
        draft.rename(self.path / inside / name)
        return name

    def files(self) -> list[str]:
        """All messages as "cur/NAME" and "new/NAME"."""
        folders = {inside: os.listdir(self.path / inside) for inside in ("cur", "new")}
        return sorted(f"{inside}/{name}" for inside in folders for name in folders[inside])

    def beside(self) -> list[str]:
        """The files in the root and in tmp."""
        return sorted(each.name for each in self.path.iterdir() if each.is_file()) + sorted(
            os.listdir(self.path / "tmp")
        )

    def text(self, name: str = "dovecot-uidlist") -> str:
        return (self.path / name).read_text()

    def write(self, text: str, name: str = "dovecot-uidlist") -> None:
        (self.path / name).write_text(text)

    @staticmethod
    def rest() -> None:
        """Wait until a scan can be clean at once."""
        time.sleep(3 * QUIET)

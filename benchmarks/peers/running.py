"""The common parts of all peers: their folder, their certificates, their processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from live_servers import Process, answers
from mailframe.testing.certificates import make_authority

#: The folder into which `benchmarks/install_peers` installs them.
PEERS = Path(__file__).parents[2] / "build" / "peers"
HOSTNAME = "mx.bench.example"
#: All accept messages of this size, so that none refuses the messages of the scenarios.
MESSAGE_SIZE = 64 << 20  # octets


@dataclass(frozen=True)
class Running:
    """A running server: its port, its first process, the Maildir that it delivers to.

    `sessions` is the highest number of sessions that it gets at once.
    """

    port: int
    pid: int
    maildir: Path
    sessions: int = 1000

    def delivered(self) -> int:
        """How many messages are in the Maildir."""
        new = self.maildir / "new"
        return sum(1 for _ in new.iterdir()) if new.exists() else 0

    def empty(self) -> None:
        """Remove all messages from the Maildir."""
        for message in (self.maildir / "new").iterdir():
            message.unlink()


#: Runs a server for (folder, task, the sink's port); gives None if it is not installed.
Peer: TypeAlias = Callable[[Path, str, int], AbstractContextManager[Running | None]]


def certificate(folder: Path, owner: int | None = None) -> tuple[Path, Path]:
    """A chain and a key for the server, both in PEM; `owner`, a uid, may read them."""
    live = make_authority().issue(HOSTNAME).write_live(folder / "live")
    files = live / "fullchain.pem", live / "privkey.pem"
    if owner is not None:
        for place in (folder / "live", live, *files):
            os.chown(place, owner, -1)
    return files


@contextmanager
def running(process: Process, port: int, maildir: Path) -> Iterator[Running]:
    """The server of this process, once its port answers."""
    with process.running(lambda: answers(port)):
        assert process.process is not None
        yield Running(port, process.process.pid, maildir)

"""A whole reception out of a mailframe.toml with the real plugins, on a Clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reception_kit import HOST, NOW, Place, Talk
from twisted.internet.task import Clock

from mailframe.config import compose, load
from mailframe.message import Entry
from mailframe.queue.submission import Submission
from mailframe.reception.listener import Reception
from mailframe.reception.shared import Shared
from mailframe.settings import Limits, Listener
from mailframe.testing.values import site

__all__ = ["HOST", "NOW", "Composed", "Place", "Talk"]

HEAD = f"""
hostname = "{HOST}"
state = "state"
[queue]
plugin = "memory"
[[listen]]
name = "mx"
endpoint = "tcp:0"
[deliver.smtp]
plugin = "discard"
[deliver.maildir]
plugin = "maildir"
path = "mail/{{domain}}/{{user}}/Maildir"
"""


class Composed(Place):
    """A listener in front of the plugins that `toml` names; `connect()` gives a Talk."""

    def __init__(
        self,
        folder: Path,
        toml: str,
        *,
        files: dict[str, str] | None = None,
        certificates: Any = None,
        limits: Limits | None = None,
        **listener: Any,
    ) -> None:
        for name, text in (files or {}).items():
            (folder / name).write_text(text)
        (folder / "mailframe.toml").write_text(HEAD + toml)
        self.clock = Clock()
        self.handed = []
        lent = site(folder, reactor=self.clock, now=self.now, hostname=HOST)
        self.hooks = compose(load(folder / "mailframe.toml"), lambda section: lent)
        self.store = self.hooks.store
        door = Submission(
            hooks=self.hooks,
            store=self.store,
            now=self.now,
            lease=lambda: None,
            hand_over=lambda entry, claimed: self.handed.append(entry),
        )
        self.reception = Reception(
            Shared(
                hostname=HOST,
                listener=Listener(**{"name": "mx", "endpoint": "tcp:0", **listener}),
                limits=limits or Limits(),
                hooks=self.hooks,
                store=self.store,
                certificates=certificates,
                reactor=self.clock,
                now=self.now,
                commit=door.commit,
            )
        )

    def now(self) -> float:
        return NOW + self.clock.seconds()

    @property
    def entries(self) -> list[Entry]:
        """What was committed."""
        return list(self.store.find(limit=1000))

    @property
    def bodies(self) -> list[bytes]:
        """The octets of each committed message, without what we put on top."""
        return [bytes(entry.message.content.body) for entry in self.entries]

    @property
    def whole(self) -> list[bytes]:
        """The same with what we put on top."""
        return [entry.message.content.at_hand or b"" for entry in self.entries]


INBOUND = """
[[relay]]
plugin = "inbound"
domains = ["example.org"]
[[route]]
plugin = "mailboxes"
domains = ["example.org"]
file = "mailboxes"
catch_all = "box"
"""
MAILBOXES = {"mailboxes": "box\n"}


def inbound(folder: Path, **more: Any) -> Composed:
    """example.org is ours, every mailbox there exists."""
    return Composed(folder, INBOUND, files=MAILBOXES, **more)

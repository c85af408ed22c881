"""A small configuration, its commands, and messages for its queue."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from twisted.internet.selectreactor import SelectReactor

from mailframe.command_line import main
from mailframe.command_line.commands import Chosen
from mailframe.eventual import at_once
from mailframe.interfaces import IQueueStore
from mailframe.message import Client, Entry, Envelope, Recipient, new_id
from mailframe.smtp.address import Mailbox

TOML = """\
hostname = "mx.example.org"
state = "state"

[[listen]]
name = "mx"
endpoint = "tcp:0:interface=127.0.0.1"

[[auth]]
plugin = "passwords"
file = "users"

[[relay]]
plugin = "inbound"
domains = ["example.org"]

[[route]]
plugin = "smarthost"
host = "127.0.0.1"
port = 1
deliver = "smtp"
private = true

[queue]
plugin = "sqlite"

[deliver.smtp]
plugin = "smtp"

[[observe]]
plugin = "trace"
"""


def configure(folder: Path, toml: str = TOML) -> Path:
    """A configuration in this folder; the path of its file."""
    file = folder / "mailframe.toml"
    file.write_text(toml)
    (folder / "users").touch()
    return file


def command(file: Path | None, *words: str, input: str | None = None, **env: str) -> Result:
    """What `mailframe WORDS` says and its exit status; offline work gets its own reactor."""
    chosen = Chosen(file, SelectReactor())
    return CliRunner(env=env).invoke(main, words, input=input, obj=chosen)


async def enqueue(
    store: IQueueStore,
    to: str = "bob@b.example",
    sender: str = "alice@example.org",
    **more: Any,
) -> Entry:
    """A message in the queue; `to` is one address or several, with spaces between them.

    `more` are further parts of its envelope.
    """
    envelope = Envelope(
        new_id(),
        Client("192.0.2.1", hello="client.example", listener="mx"),
        Mailbox.parse(sender) if sender else None,
        tuple(Recipient(Mailbox.parse(address)) for address in to.split()),
        received=time.time(),
        **more,
    )
    draft = store.begin(envelope)
    await value(draft.write(b"Subject: one\r\n\r\nHi\r\n"))
    entry: Entry = await value(draft.commit(envelope, b"Received: by us\r\n"))
    return entry


async def value(eventual: Any) -> Any:
    """An Eventual's value."""
    now = at_once(eventual)
    return await now if hasattr(now, "__await__") else now

"""Values for tests; arguments are needed only for what matters: client(), envelope(), message()."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from ..interfaces import IQueueStore, IResolver
from ..maildir.mailboxes import Mailboxes
from ..message import Client, Content, Envelope, Message, Recipient
from ..plugin import Site
from ..settings import MailboxSettings
from ..smtp.address import Mailbox
from .dns import StaticResolver


def mailbox(address: str | Mailbox) -> Mailbox:
    """The mailbox that the text spells."""
    return address if isinstance(address, Mailbox) else Mailbox.parse(address)


def client(address: str = "192.0.2.7", **more: Any) -> Client:
    """A client on listener "mx" that is not logged in and has said hello, by default."""
    known = {"port": 54321, "listener": "mx", "session": "S1", "hello": "client.example"}
    return Client(address, **{**known, "protocol": "ESMTP", **more})


def recipient(address: str | Mailbox = "bob@example.org", **more: Any) -> Recipient:
    """A recipient by its address."""
    return Recipient(mailbox(address), **more)


def envelope(
    sender: str | Mailbox | None = "alice@client.example",
    *recipients: str | Mailbox | Recipient,
    id: str = "M1",
    client: Client | None = None,
    **more: Any,
) -> Envelope:
    """A mail transaction: envelope("a@x.example", "b@y.example"); None is the null sender."""
    return Envelope(
        id,
        client or _stranger(),
        mailbox(sender) if sender else None,
        tuple(each if isinstance(each, Recipient) else recipient(each) for each in recipients),
        **more,
    )


def _stranger() -> Client:
    return client()


def content(octets: bytes = b"Subject: test\r\n\r\nHello.\r\n", prefix: bytes = b"") -> Content:
    """A message's octets."""
    return Content(prefix, octets, len(octets))


def message(
    octets: bytes = b"Subject: test\r\n\r\nHello.\r\n", envelope: Envelope | None = None
) -> Message:
    """A message of the envelope (one to bob@example.org by default)."""
    around = envelope or _to_bob()
    return Message(around.id, around, content(octets))


def _to_bob() -> Envelope:
    return envelope("alice@client.example", "bob@example.org")


@cache
def _folders() -> TemporaryDirectory[str]:
    """Where `site` makes its folders; removed when the process ends."""
    return TemporaryDirectory(prefix="mailframe-test-")


def site(
    folder: Path | str | None = None,
    *,
    reactor: Any = None,
    resolver: IResolver | None = None,
    store: IQueueStore | None = None,
    now: Callable[[], float] | None = None,
    in_thread: Callable[..., Deferred[Any]] = maybeDeferred,
    **more: Any,
) -> Site:
    """What the host offers to a plugin, for a test.

    `folder` is both the state folder and the configuration's; by default a new one, which is
    removed when the process ends. The reactor is a Clock, DNS has no records, and work for a
    thread is done at once; pass your own for anything else. `now` follows the
    Clock. Whoever runs the test, the host is not root.
    """
    clock = Clock() if reactor is None else reactor
    place = Path(mkdtemp(dir=_folders().name) if folder is None else folder)

    def lent_store() -> IQueueStore:
        if store is None:
            raise LookupError("this Site was made without a store")
        return store

    lent = Site(
        hostname="mx.example.org",
        state=place,
        folder=place,
        reactor=clock,
        now=now or clock.seconds,
        in_thread=in_thread,
        resolver=resolver or StaticResolver(),
        store=lent_store,
        is_root=lambda: False,
    )
    return replace(lent, **more)


def mailboxes(folder: Path | str, path: str = "{domain}/{user}", **settings: Any) -> Mailboxes:
    """The Mailboxes for these settings, for `site(mailboxes=…)`; all below `folder`."""
    where = Path(folder).absolute()
    return Mailboxes.read(MailboxSettings(Path(path), **settings), where, Clock().seconds)

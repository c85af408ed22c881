"""Fills the SQLite store quickly, with many rows at a time, by its own codec and statements."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from zlib import crc32

from mailframe.message import Client, Envelope, Pending, Recipient, new_id
from mailframe.message.codec import encode_envelope
from mailframe.smtp.address import Mailbox
from mailframe.smtp.reply import Reply
from mailframe.spool.search import searchable
from mailframe_plugins.sqlite_store.folder import StoreFolder
from mailframe_plugins.sqlite_store.ledger import Ledger
from mailframe_plugins.sqlite_store.statements import NewMessage

_AT_ONCE = 5000  # messages in one transaction
_PREFIX = b"Received: from client.example by mx.bench.example; Thu, 1 Jan 1970 00:00:00 +0000\r\n"
_LATER = Reply(451, "Greylisted, try again later", "4.7.1")

#: Gives sender and recipient of the message with this number.
Addresses = Callable[[int], tuple[str, str]]


@contextmanager
def opened(folder: Path) -> Iterator[Ledger]:
    """The ledger of the store in this folder, which is created if it is missing."""
    shelf = StoreFolder(folder, time.time)
    ledger = shelf.open()
    try:
        yield ledger
    finally:
        ledger.close()
        shelf.close()


def fill(
    folder: Path, count: int, size: int, addresses: Addresses, due: Callable[[int], float]
) -> None:
    """Add messages until there are `count`, each with a body of `size` octets.

    `due(number)` is in seconds since the epoch. Messages of an earlier call count.
    """
    with opened(folder) as ledger:
        there = int(ledger.next_key) - 1
        messages = _messages(range(there, count), size, addresses, due)
        started, before = time.perf_counter(), there
        while some := list(islice(messages, _AT_ONCE)):
            ledger.begin()
            ledger.insert([(message, None) for message in some])
            ledger.commit()
            there += len(some)
            rate = (there - before) / (time.perf_counter() - started)
            if there % (10 * _AT_ONCE) == 0 or there == count:
                print(f"{there} of {count} messages, {rate:.0f}/s", file=sys.stderr, flush=True)
    forget_pages(folder)


def _messages(
    numbers: range, size: int, addresses: Addresses, due: Callable[[int], float]
) -> Iterator[NewMessage]:
    line = b"%06d " + b"x" * 71 + b"\r\n"
    for number in numbers:
        created = time.time() - 3600
        sender, recipient = addresses(number)
        envelope = Envelope(
            new_id(created),
            Client("192.0.2.7", 54321, "mx", hello="client.example", protocol="ESMTP"),
            Mailbox.parse(sender),
            (Recipient(Mailbox.parse(recipient)),),
            received=created,
        )
        body = b"Subject: %d\r\n\r\n" % number + line % (number % 10**6) * (size // 80)
        waits = Pending(envelope.recipients[0], due(number), 2, _LATER, "mx.far.example")
        yield NewMessage(
            envelope.id, created, (waits,), searchable([Mailbox.parse(sender)]), len(body),
            encode_envelope(envelope), crc32(_PREFIX, crc32(body)), _PREFIX, body,
        )  # fmt: skip


def forget_pages(folder: Path) -> None:
    """Drop the database's pages from the page cache, so that the next access reads the disk."""
    for path in folder.glob("queue.db*"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)

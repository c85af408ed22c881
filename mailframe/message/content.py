"""A message's octets, in memory or to be opened."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from ..mime.header import HeaderSection
from .envelope import Envelope

_BLOCK = 1 << 14  # octets of one read of a header section


@dataclass(frozen=True, slots=True)
class Content:
    """A message's octets: `prefix`, which this host puts on top, and the body as it came.

    `prefix` holds whole header lines ended by CRLF (Received:, and what filters add). `body` is the
    client's octets if they are in memory, or else a function that opens them for reading from the
    start. That function may block (a file, a database, a remote store), so call it, and read what
    it returns, in a thread. `body_size` is in octets.
    """

    prefix: bytes
    body: bytes | Callable[[], BinaryIO]
    body_size: int

    @property
    def size(self) -> int:
        """The number of octets of prefix and body."""
        return len(self.prefix) + self.body_size

    @property
    def at_hand(self) -> bytes | None:
        """All octets if they are in memory, else None."""
        return self.prefix + self.body if isinstance(self.body, bytes) else None

    def open(self) -> BinaryIO:
        """All octets as a file to be read and closed. OSError if the store cannot open it."""
        if isinstance(self.body, bytes):
            return io.BytesIO(self.prefix + self.body)
        return _Joined(self.prefix, self.body())

    def header_section(self, limit: int) -> HeaderSection:
        """The header section; no more than `limit` octets are read.

        Opens and reads content that is not in memory, and blocks then. OSError if the store cannot.
        """
        section = HeaderSection(limit)
        with self.open() as source:
            while not section.done and (octets := source.read(_BLOCK)):
                section.feed(octets)
        return section


class _Joined(io.RawIOBase, BinaryIO):
    """The prefix, followed by the file; it can only be read forwards."""

    def __init__(self, prefix: bytes, rest: BinaryIO) -> None:
        super().__init__()
        self._prefix = memoryview(prefix)
        self._rest = rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if size is None or size < 0:
            head, self._prefix = bytes(self._prefix), self._prefix[:0]
            return head + self._rest.read()
        if self._prefix:
            head, self._prefix = bytes(self._prefix[:size]), self._prefix[size:]
            return head
        return self._rest.read(size)

    def readinto(self, buffer: Any, /) -> int:
        octets = self.read(len(buffer))
        buffer[: len(octets)] = octets
        return len(octets)

    def close(self) -> None:
        self._rest.close()
        super().close()


@dataclass(frozen=True, slots=True)
class Message:
    """What a delivery agent is given: the envelope and the content."""

    id: str
    envelope: Envelope
    content: Content

"""A message's octets, at hand or to be opened."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from ..mime.header import HeaderSection
from .envelope import Envelope

_BLOCK = 1 << 14  # octets read at once for a header section


@dataclass(frozen=True, slots=True)
class Content:
    """A message's octets: `prefix` is what we put on top, the body as it came, untouched.

    `prefix` holds whole header lines ended by CRLF (Received:, what filters added). `body`
    is the client's octets where they are at hand in memory, else what opens them for
    reading from the start; the opener may block (a file, a database, a remote store): call
    it and read what it gives in a thread. `body_size` is octets.
    """

    prefix: bytes
    body: bytes | Callable[[], BinaryIO]
    body_size: int

    @property
    def size(self) -> int:
        """Octets in all."""
        return len(self.prefix) + self.body_size

    @property
    def at_hand(self) -> bytes | None:
        """All octets where nothing must be opened, else None."""
        return self.prefix + self.body if isinstance(self.body, bytes) else None

    def open(self) -> BinaryIO:
        """All octets as a file to be read and closed. OSError where the store cannot."""
        if isinstance(self.body, bytes):
            return io.BytesIO(self.prefix + self.body)
        return _Joined(self.prefix, self.body())

    def header_section(self, limit: int) -> HeaderSection:
        """The header section, of which no more than `limit` octets are read.

        Opens and reads what is not at hand, so it blocks then; OSError where the store cannot.
        """
        section = HeaderSection(limit)
        with self.open() as source:
            while not section.done and (octets := source.read(_BLOCK)):
                section.feed(octets)
        return section


class _Joined(io.RawIOBase, BinaryIO):
    """The prefix, then the file; for reading forwards only."""

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
    """What a delivery agent is given: the envelope and the octets."""

    id: str
    envelope: Envelope
    content: Content

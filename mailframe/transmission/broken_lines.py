"""Breaks long lines of content while it is read, for messages that cannot be re-encoded."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

from ..message import Content
from ..mime.lines import LineBreaker
from .content import BLOCK

MAX_HEADER = 1 << 18  # octets of a header section that are looked at


def with_broken_lines(content: Content) -> Content:
    """The same content with lines of at most 998 octets. Reads all of it; may raise OSError."""
    size = 0
    with _Broken(content.open()) as file:
        while block := file.read(BLOCK):
            size += len(block)
    return Content(b"", lambda: _Broken(content.open()), size)


class _Broken(io.RawIOBase, BinaryIO):
    """A file with its long lines broken. It can only be read forwards."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._breaker: LineBreaker | None = LineBreaker()
        self._ready = bytearray()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        whole = size is None or size < 0
        while self._breaker is not None and (whole or len(self._ready) < size):
            if octets := self._file.read(BLOCK):
                self._ready += self._breaker.feed(octets)
            else:
                self._ready += self._breaker.finish()
                self._breaker = None
        end = len(self._ready) if whole else size
        octets = bytes(self._ready[:end])
        del self._ready[:end]
        return octets

    def readinto(self, buffer: Any, /) -> int:
        octets = self.read(len(buffer))
        buffer[: len(octets)] = octets
        return len(octets)

    def close(self) -> None:
        self._file.close()
        super().close()

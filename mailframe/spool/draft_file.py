"""The file of a draft that has grown too large for memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import BinaryIO
from zlib import crc32

from .bodies import Bodies


class DraftFile:
    """A file that the first write creates. All methods but `opener` block and raise OSError.

    `check` is the CRC-32 of what has been written.
    """

    def __init__(self, bodies: Bodies, id: str) -> None:
        self._bodies = bodies
        self._id = id
        self._descriptor: int | None = None
        self._is_ours = False  # the file of this name may belong to another message
        self.check = 0

    def write(self, parts: Sequence[bytes]) -> None:
        """Add these octets."""
        if self._descriptor is None:
            self._descriptor = self._bodies.create(self._id)
            self._is_ours = True
        for part in parts:
            self.check = crc32(part, self.check)
            rest = memoryview(part)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]

    def finish(self, parts: Sequence[bytes]) -> None:
        """Add these octets and make everything durable."""
        try:
            self.write(parts)
            assert self._descriptor is not None
            self._bodies.sync(self._descriptor)
        finally:
            self._close()

    def remove(self) -> None:
        """Remove the file; nothing remains."""
        self._close()
        if self._is_ours:
            self._bodies.remove(self._id)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def opener(self) -> Callable[[], BinaryIO]:
        """A function that opens what has been written for reading."""
        path = self._bodies.path(self._id)

        def open_file() -> BinaryIO:
            return path.open("rb")

        return open_file

"""The size of a message whose file name does not say it."""

from __future__ import annotations

from typing import BinaryIO

CHUNK = 1 << 18  # octets of one read


def sizes_of(file: BinaryIO) -> tuple[int, int]:
    """Octets as they are stored, and with every line ended by CRLF. Reads the file to its end."""
    size = bare = 0
    last = b""
    while octets := file.read(CHUNK):
        size += len(octets)
        bare += octets.count(b"\n") - octets.count(b"\r\n")
        if last == b"\r" and octets.startswith(b"\n"):
            bare -= 1
        last = octets[-1:]
    return size, size + bare

"""What comes over a pipe in any pieces, put together again: lines, or counted frames.

    frame   length | octets      `length` is four octets, the highest first

Nothing but the standard library is imported here: a child process that must begin quickly uses
the same code at its end of the pipe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

LENGTH = 4  # octets

#: Gives exactly so many octets; raises EOFError if fewer come.
Read = Callable[[int], bytes]


def frame(octets: bytes) -> bytes:
    """The octets as one frame."""
    return len(octets).to_bytes(LENGTH, "big") + octets


def read_frame(read: Read) -> bytes:
    """The octets of the next frame; `read` may block. EOFError if no whole one comes."""
    return read(int.from_bytes(read(LENGTH), "big"))


class Lines:
    """Lines out of octets, without their ends. One of more than `limit` octets comes in parts."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._begun = b""

    def feed(self, octets: bytes) -> Iterator[bytes]:
        """The lines that are whole now."""
        *lines, self._begun = (self._begun + octets).split(b"\n")
        yield from lines
        if len(self._begun) > self._limit:
            yield self.rest()

    def rest(self) -> bytes:
        """What came after the last line end; it is forgotten here."""
        rest, self._begun = self._begun, b""
        return rest


class TooLong(ValueError):
    """A frame that is announced to be longer than any may be."""


class Frames:
    """Frames out of octets. TooLong, once, for one of more than `limit`; nothing comes after it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._begun = b""
        self._broken = False

    def feed(self, octets: bytes) -> Iterator[bytes]:
        """The octets of each frame that is whole now."""
        if self._broken:
            return
        self._begun += octets
        while len(self._begun) >= LENGTH:
            end = LENGTH + int.from_bytes(self._begun[:LENGTH], "big")
            if end > LENGTH + self._limit:
                self._broken, self._begun = True, b""
                raise TooLong(f"a frame of {end - LENGTH} octets, at most {self._limit} are taken")
            if len(self._begun) < end:
                return
            whole, self._begun = self._begun[LENGTH:end], self._begun[end:]
            yield whole

    def rest(self) -> bytes:
        """Nothing: a part of a frame says nothing."""
        return b""

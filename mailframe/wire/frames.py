"""Puts together lines or counted frames that come over a pipe in any pieces.

    frame   length | octets      `length` is four octets, the highest first

Only the standard library is imported here, because a child process that must start fast uses the
same code at its end of the pipe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

LENGTH = 4  # octets

#: Returns exactly so many octets; raises EOFError if fewer come.
Read = Callable[[int], bytes]


def frame(octets: bytes) -> bytes:
    """The octets as one frame."""
    return len(octets).to_bytes(LENGTH, "big") + octets


def read_frame(read: Read) -> bytes:
    """The octets of the next frame; `read` may block. EOFError if there is no complete one."""
    return read(int.from_bytes(read(LENGTH), "big"))


class Lines:
    """Makes lines, without their ends, from octets.

    One of more than `limit` octets comes in parts.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._begun = b""

    def feed(self, octets: bytes) -> Iterator[bytes]:
        """The lines that are complete now."""
        *lines, self._begun = (self._begun + octets).split(b"\n")
        yield from lines
        if len(self._begun) > self._limit:
            yield self.rest()

    def rest(self) -> bytes:
        """What came after the last line end; it is given only once."""
        rest, self._begun = self._begun, b""
        return rest


class TooLong(ValueError):
    """A frame whose length is more than the limit."""


class Frames:
    """Makes frames from octets.

    TooLong, once, for one of more than `limit`; nothing comes after it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._begun = b""
        self._broken = False

    def feed(self, octets: bytes) -> Iterator[bytes]:
        """The octets of each frame that is complete now."""
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
        """Nothing, because a part of a frame has no meaning."""
        return b""

"""For tests of transports over a real socket, whose reactor the test is."""

from __future__ import annotations

import socket
from typing import Any


class Watching:
    """A reactor that only remembers who wants to read and to write."""

    def __init__(self) -> None:
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()
        self.addReader, self.removeReader = self.readers.add, self.readers.discard
        self.addWriter, self.removeWriter = self.writers.add, self.writers.discard


def all_that_comes(reactor: Watching, transport: Any, peer: socket.socket) -> bytes:
    """What the peer reads while the transport writes all that it has."""
    came = bytearray()
    while reactor.writers:
        came += peer.recv(1 << 16)
        transport.doWrite()
    while True:
        try:
            came += peer.recv(1 << 16)
        except BlockingIOError:
            return bytes(came)

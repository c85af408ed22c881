"""What the supervisor tells a worker process when it starts, and the descriptors they use.

ORDERS  pipe to the worker: the Launch, then lines: "go", "retire", "stop"; its end means "stop" 1
the supervisor's own standard output, for observers that write there 2       pipe from the worker:
what Python says when something goes badly wrong WORDS   pipe from the worker: a JSON object a line,
{"word": ...} or {"level", "system", "text"} LOCK    the state folder's lock: held until the last
worker is gone, whatever ends first SOCKETS and the following: the listening sockets
"""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from ...config import Composition

ORDERS = 0
WORDS = 3
LOCK = 4
SOCKETS = 5
MAX_TEXT = 32 << 10  # characters of one text for the log

STANDING_BY = "standing by"  # composed, and waits for "go"
READY = "ready"  # accepts connections
CLOSED = "closed"  # accepts no more connections
FAILED = "failed"  # cannot start; "text" says why

_LENGTH = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Launch:
    """Which worker of how many a process is, and the composition that it runs.

    `sockets` are descriptors of listening sockets by listener name. If there are none, the process
    binds its own ports and holds the state folder, and has no supervisor. `python_path` is the
    supervisor's PYTHONPATH, for programs that the worker starts.
    """

    composition: Composition
    number: int = 0
    of: int = 1
    sockets: Mapping[str, int] = field(default_factory=dict)
    supervised: bool = False
    python_path: str | None = None

    def encoded(self) -> bytes:
        """The octets for `read` at the other end of a pipe.

        PicklingError or TypeError for odd settings.
        """
        # Between a process and its own child of the same installation; no other process writes
        # there.
        octets = pickle.dumps(self)
        return _LENGTH.pack(len(octets)) + octets

    @classmethod
    def read(cls, descriptor: int) -> Launch:
        """Read it; blocks until it is there. EOFError if the other side ended first."""
        (length,) = _LENGTH.unpack(_exactly(descriptor, _LENGTH.size))
        launch = pickle.loads(_exactly(descriptor, length))
        assert isinstance(launch, cls)
        return launch


def _exactly(descriptor: int, length: int) -> bytes:
    octets = bytearray()
    while len(octets) < length:
        piece = os.read(descriptor, length - len(octets))
        if not piece:
            raise EOFError("the supervisor is gone")
        octets += piece
    return bytes(octets)

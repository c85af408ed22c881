"""A reactor whose `spawnProcess` begins no process: the child's work is done here, at once."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ProcessDone
from twisted.internet.interfaces import IReactorProcess
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from mailframe.maildir.delivery.child import delivered
from mailframe.maildir.delivery.deliverer import Deliverer
from mailframe.maildir.delivery.frames import answer_frame, read_round, read_rules


@implementer(IReactorProcess)
class InHouse(Clock):
    """A Clock that has couriers; what is to be done next is done at once."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.now = now
        self.begun: list[list[str]] = []

    def callLater(self, when: float, what: Callable[..., object], *args: Any, **more: Any) -> Any:
        return super().callLater(when, what, *args, **more) if when else what(*args, **more)

    def spawnProcess(self, protocol: Any, _executable: str, args: list[str], *_: Any, **__: Any):
        self.begun.append(args)
        protocol.makeConnection(_Child(protocol, self.now))


class _Child:
    """Rules come in the first write, a round in each other one."""

    pid = 1

    def __init__(self, protocol: Any, now: Callable[[], float]) -> None:
        self._protocol = protocol
        self._now = now
        self._deliverer: Deliverer | None = None

    def writeToChild(self, _descriptor: int, octets: bytes) -> None:
        read = io.BytesIO(octets).read
        if self._deliverer is None:
            self._deliverer = Deliverer(read_rules(read), self._now)
            self._protocol.childDataReceived(1, answer_frame([]))
            return
        answer = answer_frame(delivered(self._deliverer, read_round(read)))
        for octet in answer:  # as badly cut as can be
            self._protocol.childDataReceived(1, bytes([octet]))

    def closeStdin(self) -> None:
        self._protocol.processEnded(Failure(ProcessDone(0)))

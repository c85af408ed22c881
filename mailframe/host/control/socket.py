"""Requests and answers over the unix socket STATE/control.

Both ways there is one JSON object in a line. A request is `{"ask": NAME, ...}`. Its answer is any
number of `{"row": {...}}` lines and a last line, `{"done": true}` or `{"error": TEXT}`. Requests on
one connection are answered one after the other. No answer grows with the queue: lists come in pages
of at most PAGE rows, and rows are written only as fast as the client reads.
"""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from .control import Control
from .question import Row
from .subject import Refused


@implementer(IPushProducer)
class _Writing:
    """Writes rows no faster than the client reads them."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._room: Deferred[None] | None = None
        self._gone = False

    async def write(self, line: Row) -> None:
        """Write one line. Raises ConnectionDone if the client has gone."""
        if self._room is not None:
            await self._room
        if self._gone:
            raise ConnectionDone
        self._transport.write(json.dumps(line, default=str).encode("ascii") + b"\n")

    def pauseProducing(self) -> None:
        self._room = Deferred()

    def resumeProducing(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.callback(None)

    def stopProducing(self) -> None:
        self._gone = True
        self.resumeProducing()


class ControlProtocol(LineReceiver):
    """One client: reads a request, writes its rows, reads the next one."""

    _log = Logger()
    delimiter = b"\n"
    MAX_LENGTH = 64 << 10  # octets, enough for a page of ids

    def __init__(self, control: Control, askers: set[ControlProtocol]) -> None:
        self._control = control
        self._askers = askers

    def connectionMade(self) -> None:
        self._writing = _Writing(self.transport)
        self.transport.registerProducer(self._writing, True)  # type: ignore[union-attr]
        self._askers.add(self)

    def lineReceived(self, line: bytes) -> None:
        self.pauseProducing()  # the next request waits for this answer
        answering: Deferred[None] = Deferred.fromCoroutine(self._answer(line))
        answering.addErrback(self._failed)
        answering.addCallback(self._answered)

    def _answered(self, _result: object) -> None:
        self.resumeProducing()

    async def _answer(self, line: bytes) -> None:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise Refused("a request is a JSON object")
            async with aclosing(self._control.answer(request)) as rows:
                async for row in rows:
                    await self._writing.write({"row": row})
        except (ValueError, OSError) as wrong:  # Refused, bad JSON, or an error of the store
            await self._writing.write({"error": str(wrong) or type(wrong).__name__})
        else:
            await self._writing.write({"done": True})

    def _failed(self, failure: Failure) -> None:
        if failure.check(ConnectionDone):
            return
        self._log.failure("the control socket could not answer", failure=failure)
        fault = {
            "error": f"the host failed to answer ({type(failure.value).__name__}); see its log"
        }
        self.sendLine(json.dumps(fault).encode("ascii"))

    def lineLengthExceeded(self, line: bytes) -> None:
        """A request of more than MAX_LENGTH octets closes the connection."""
        self.sendLine(b'{"error": "the request is too long"}')
        self.transport.loseConnection()  # type: ignore[union-attr]

    def hang_up(self) -> None:
        """Break off the answer that is under way, and close the connection."""
        self.transport.abortConnection()  # type: ignore[union-attr]

    def connectionLost(self, reason: Any = None) -> None:
        self._writing.stopProducing()
        self._askers.discard(self)


class ControlFactory(Factory):
    """Makes a ControlProtocol for each client, and disconnects all of them at the end."""

    noisy = False

    def __init__(self, control: Control) -> None:
        self._control = control
        self.askers: set[ControlProtocol] = set()

    def buildProtocol(self, addr: Any) -> ControlProtocol:
        return ControlProtocol(self._control, self.askers)

    def close(self) -> None:
        """Disconnect all clients; answers that are under way break off."""
        for asker in tuple(self.askers):
            asker.hang_up()

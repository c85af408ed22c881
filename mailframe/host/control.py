"""what the command line asks of a running host, over the unix socket STATE/control.

One JSON object a line, both ways. A request is `{"ask": NAME, ...}`; its answer is any number
of `{"row": {...}}` lines and a last one, `{"done": true}` or `{"error": TEXT}`. Requests on one
connection are answered one after the other. No answer grows with the queue: lists are pages
of at most PAGE rows, and rows are written only as fast as the asker reads.

The same `Control` answers where no host runs and the command line opens the store itself.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from ..eventual import settled
from ..interfaces import IQueueStore, IShardedStore, ITrace
from ..message import Entry, Pending

if TYPE_CHECKING:
    from .resources import Resources

PAGE = 500  # rows of one answer, ids of one request
CHUNK = 48 << 10  # octets of a message's content in one row

Row = dict[str, Any]
Rows = AsyncGenerator[Row, None]


class Refused(ValueError):
    """A request that cannot be answered; the text is for the person who asked."""


class Control:
    """Answers requests about one host's queue and its traces.

    `look` is called when something may have become due; `now` gives seconds since the
    epoch; `in_thread` runs blocking work off the reactor. `store` or `trace` is None where
    the composition has none. `workers` is how many there are, each with a Control. An answer
    to "ping" says `sharded` if the queue is a part for each of them, and not one for all.
    """

    def __init__(
        self,
        *,
        store: IQueueStore | None,
        trace: ITrace | None,
        look: Callable[[], None],
        now: Callable[[], float],
        in_thread: Callable[..., Deferred[Any]],
        hostname: str,
        workers: int = 1,
    ) -> None:
        self._store = store
        self._trace = trace
        self._look = look
        self._now = now
        self._in_thread = in_thread
        self._hostname = hostname
        self._workers = workers
        self._questions: dict[str, Callable[..., Rows]] = {
            "ping": self._ping,
            "find": self._find,
            "get": self._get,
            "content": self._content,
            "change": self._change,
            "summary": self._summary,
            "trace": self._events,
        }

    def answer(self, request: Mapping[str, Any]) -> Rows:
        """The rows that answer one request. Raises Refused for one that makes no sense."""
        arguments = {key: value for key, value in request.items() if key != "ask"}
        question = self._questions.get(str(request.get("ask")))
        if question is None:
            raise Refused(f"unknown question {request.get('ask')!r}")
        try:
            return question(**arguments)
        except TypeError as wrong:
            raise Refused(f"{request['ask']}: {wrong}") from None

    @property
    def _queue(self) -> IQueueStore:
        if self._store is None:
            raise Refused("this composition has no [queue]")
        return self._store

    async def _ping(self) -> Rows:
        yield {
            "hostname": self._hostname,
            "pid": os.getpid(),
            "workers": self._workers,
            "sharded": IShardedStore.providedBy(self._store),
        }

    async def _find(
        self, after: str = "", limit: int = 100, address: str = "", hold: bool | None = None
    ) -> Rows:
        page = min(int(limit), PAGE)
        for entry in await settled(self._queue.find(after, page, address, hold)):
            yield entry_row(entry)

    async def _get(self, id: str) -> Rows:
        entry = await settled(self._queue.get(id))
        if entry is not None:
            yield entry_row(entry)

    async def _content(self, id: str) -> Rows:
        entry = await settled(self._queue.get(id))
        if entry is None:
            return
        file = await self._in_thread(entry.message.content.open)
        try:
            while octets := await self._in_thread(file.read, CHUNK):
                yield {"octets": base64.b64encode(octets).decode("ascii")}
        finally:
            file.close()

    async def _change(self, ids: list[str], verb: str) -> Rows:
        if len(ids) > PAGE:
            raise Refused(f"at most {PAGE} messages at once")
        changed = await settled(self._queue.change([str(id) for id in ids], verb, self._now()))
        if changed and verb in {"retry", "release"}:
            self._look()
        for id in changed:
            yield {"id": id}

    async def _summary(self) -> Rows:
        counts = await settled(self._queue.counts())
        next_due = await settled(self._queue.next_due())
        yield {"counts": counts, "next_due": next_due}
        for line in await settled(self._queue.corrupt()):
            yield {"corrupt": line}

    async def _events(self, of: str, limit: int = 1000) -> Rows:
        if self._trace is None:
            raise Refused('no trace is kept: add [[observe]] with plugin = "trace"')
        for event in await settled(self._trace.events(of, min(int(limit), 10 * PAGE))):
            yield asdict(event)


def control_of(resources: Resources, look: Callable[[], None]) -> Control:
    """The Control of one host's plugins."""
    traces = [each.plugin for each in resources.hooks.observers if ITrace.providedBy(each.plugin)]
    return Control(
        store=resources.hooks.store,
        trace=traces[0] if traces else None,
        look=look,
        now=resources.now,
        in_thread=resources.in_thread,
        hostname=resources.settings.hostname,
        workers=resources.workers,
    )


def entry_row(entry: Entry) -> Row:
    """A queued message as JSON: addresses as text, times in seconds since the epoch."""
    envelope = entry.message.envelope
    return {
        "id": entry.id,
        "created": entry.created,
        "size": entry.message.content.size,
        "sender": "" if envelope.sender is None else str(envelope.sender),
        "hold": entry.hold,
        "leased": entry.leased,
        "client": envelope.client.address,
        "hello": envelope.client.hello,
        "listener": envelope.client.listener,
        "user": envelope.client.user,
        "signals": dict(envelope.signals),
        "envid": envelope.envid,
        "recipients": [_pending_row(pending) for pending in entry.pending],
    }


def _pending_row(pending: Pending) -> Row:
    return {
        "address": str(pending.recipient.address),
        "original": str(pending.recipient.original),
        "due": pending.due,
        "attempts": pending.attempts,
        "last": None if pending.last is None else str(pending.last),
        "remote": pending.remote,
    }


@implementer(IPushProducer)
class _Writing:
    """Writes rows no faster than the other side reads them."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._room: Deferred[None] | None = None
        self._gone = False

    async def write(self, line: Row) -> None:
        """Raises ConnectionDone where nobody reads any more."""
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
    """One asker: reads a request, writes its rows, reads the next."""

    _log = Logger()
    delimiter = b"\n"
    MAX_LENGTH = 64 << 10  # octets: a page of ids fits

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
        except (ValueError, OSError) as wrong:  # Refused, bad JSON, a store that cannot
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
        """Break off whatever is being answered."""
        self.transport.abortConnection()  # type: ignore[union-attr]

    def connectionLost(self, reason: Any = None) -> None:
        self._writing.stopProducing()
        self._askers.discard(self)


class ControlFactory(Factory):
    """Makes a ControlProtocol for each asker, and hangs up on all of them at the end."""

    noisy = False

    def __init__(self, control: Control) -> None:
        self._control = control
        self.askers: set[ControlProtocol] = set()

    def buildProtocol(self, addr: Any) -> ControlProtocol:
        return ControlProtocol(self._control, self.askers)

    def close(self) -> None:
        """Hang up: what is being answered breaks off."""
        for asker in tuple(self.askers):
            asker.hang_up()

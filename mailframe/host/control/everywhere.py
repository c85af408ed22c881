"""Asks all workers of this host from within one of them, for the plugins that want to know."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from ...interfaces import IShardedStore
from .control import Control
from .question import Row
from .questions import QUESTIONS
from .subject import Refused

PATIENCE = 30.0  # seconds for the whole answer of one worker
MOST = 1 << 20  # octets of a row


async def ask_everywhere(
    control: Control, socket_of: Callable[[int], Path], reactor: Any, question: str, **fields: Any
) -> list[Row]:
    """The host's answer: that of all workers, combined as the question wants it.

    `socket_of` gives the control socket of a worker by its number. Raises Refused for a question
    that makes no sense, or if a worker does not answer.
    """
    request = {"ask": question, **fields}
    own = [row async for row in control.answer(request)]
    asked, sharded = QUESTIONS[question], IShardedStore.providedBy(control.store)
    if control.workers == 1 or (asked.of_queue and not sharded):
        return own
    others = [number for number in range(control.workers) if number != control.worker]
    waiting = [_ask(reactor, number, socket_of(number), request) for number in others]
    try:
        found = await gatherResults(waiting, consumeErrors=True)
    except Exception as failed:
        cause = getattr(failed, "subFailure", None)  # of gatherResults
        raise Refused(str(cause.value if cause is not None else failed)) from failed
    answers = {control.worker: own, **dict(zip(others, found, strict=True))}
    asks = [partial(_given, answers[number]) for number in sorted(answers)]
    return list(asked.ask_all(asks, sharded, **fields))


def _given(rows: Sequence[Row], **_fields: Any) -> Any:
    return iter(rows)


def _ask(reactor: Any, number: int, path: Path, request: Mapping[str, Any]) -> Deferred[list[Row]]:
    endpoint = UNIXClientEndpoint(reactor, str(path), PATIENCE)
    answer: Deferred[list[Row]] = Deferred()
    factory = Factory.forProtocol(lambda: _Asker(request, answer))
    factory.noisy = False

    def refused(failure: Failure) -> Failure:
        why = failure.value if isinstance(failure.value, Refused) else type(failure.value).__name__
        return Failure(Refused(f"worker {number} does not answer: {why}"))

    dialled: Deferred[Any] = endpoint.connect(factory)
    dialled.addCallback(lambda asker: answer.addTimeout(PATIENCE, reactor).addBoth(asker.done))
    return dialled.addErrback(refused)


class _Asker(LineReceiver):
    """Asks one question of one worker."""

    delimiter = b"\n"
    MAX_LENGTH = MOST

    def __init__(self, request: Mapping[str, Any], answer: Deferred[list[Row]]) -> None:
        self._request = request
        self._answer = answer
        self._rows: list[Row] = []

    def connectionMade(self) -> None:
        self.sendLine(json.dumps(self._request).encode())

    def lineReceived(self, line: bytes) -> None:
        said = json.loads(line)
        if "row" in said:
            self._rows.append(said["row"])
        elif "done" in said:
            self._end(self._rows)
        else:
            self._end(Failure(Refused(str(said.get("error")))))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._end(Failure(Refused("it hung up in the middle of its answer")))

    def done(self, result: Any) -> Any:
        """The answer is there, or is not waited for any more."""
        self.transport.abortConnection()  # type: ignore[union-attr]
        return result

    def _end(self, result: Any) -> None:
        if not self._answer.called:
            self._answer.callback(result)

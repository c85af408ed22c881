"""The decisions about a message, a session or an address: `trace`."""

from __future__ import annotations

from dataclasses import asdict

from ....eventual import settled
from ..question import PAGE, Question, Rows, known_to_any
from ..subject import Refused, Subject


async def _trace(control: Subject, of: str, limit: int = 1000) -> Rows:
    if control.trace is None:
        raise Refused('no trace is kept: add [[observe]] with plugin = "trace"')
    for event in await settled(control.trace.events(of, min(int(limit), 10 * PAGE))):
        yield asdict(event)


#: The events `of` a message's id, a session's or an address; rows have the fields of an Event.
TRACE = Question("trace", _trace, known_to_any, of_queue=False)

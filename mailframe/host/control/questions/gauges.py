"""The present state of a host's parts: `gauges`."""

from __future__ import annotations

from itertools import islice

from ..question import PAGE, Question, Rows, of_each
from ..subject import Subject


async def _gauges(control: Subject, of: str = "") -> Rows:
    for name, part in control.inspected():
        if of in ("", name):
            for row in islice(part.state(), PAGE):
                yield {"of": name, "worker": control.worker, **row}


#: The state of every part that can be looked at, or only of those named `of`; PAGE rows of each.
GAUGES = Question("gauges", _gauges, of_each, of_queue=False)

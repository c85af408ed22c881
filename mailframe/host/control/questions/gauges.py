"""The present state of a host's parts: `gauges`."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from ..question import PAGE, Question, Rows, of_each

if TYPE_CHECKING:
    from ..control import Control


async def _gauges(control: Control, of: str = "") -> Rows:
    for name, part in control.inspected():
        if of in ("", name):
            for row in islice(part.state(), PAGE):
                yield {"of": name, "worker": control.worker, **row}


#: The state of every part that can be looked at, or only of those named `of`; PAGE rows of each.
GAUGES = Question("gauges", _gauges, of_each, of_queue=False)

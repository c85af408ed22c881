"""Answers requests about one host, or about one worker of several."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from ...interfaces import IInspected, IQueueStore, ITrace
from .question import Refused, Rows
from .questions import QUESTIONS

if TYPE_CHECKING:
    from ..resources import Resources


@dataclass(frozen=True, kw_only=True)
class Control:
    """What the questions are about.

    `look` is called when something may have become due, with the domains whose places are to be
    tried though they are left alone; `now` gives seconds since the epoch;
    `in_thread` runs blocking work off the reactor. `store` or `trace` is None if the
    composition has none. `workers` is how many there are, each with a Control; `worker` is this
    one's number. `inspected()` are the parts whose state can be looked at, by their names.

    The same answers if no host runs and the command line opens the store itself.
    """

    store: IQueueStore | None
    trace: ITrace | None
    look: Callable[[Collection[str]], None]
    now: Callable[[], float]
    in_thread: Callable[..., Deferred[Any]]
    hostname: str
    workers: int = 1
    worker: int = 0
    inspected: Callable[[], Sequence[tuple[str, IInspected]]] = tuple

    def answer(self, request: Mapping[str, Any]) -> Rows:
        """The rows that answer `{"ask": NAME, ...}`. Raises Refused if it makes no sense."""
        question = QUESTIONS.get(str(request.get("ask")))
        if question is None:
            raise Refused(f"unknown question {request.get('ask')!r}")
        return question.ask(self, **{key: each for key, each in request.items() if key != "ask"})

    @property
    def queue(self) -> IQueueStore:
        """The store. Raises Refused if there is none."""
        if self.store is None:
            raise Refused("this composition has no [queue]")
        return self.store


def control_of(
    resources: Resources,
    look: Callable[[Collection[str]], None],
    inspected: Callable[[], Sequence[tuple[str, IInspected]]] = tuple,
) -> Control:
    """The Control of one host's plugins; `inspected` are parts of the host besides those."""
    traces = [each.plugin for each in resources.hooks.observers if ITrace.providedBy(each.plugin)]
    return Control(
        store=resources.hooks.store,
        trace=traces[0] if traces else None,
        look=look,
        now=resources.now,
        in_thread=resources.in_thread,
        hostname=resources.settings.hostname,
        workers=resources.workers,
        worker=resources.worker,
        inspected=lambda: [*inspected(), *resources.inspected()],
    )

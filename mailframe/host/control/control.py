"""Answers requests about one host, or about one of its workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    """The parts of a host that the questions are about.

    `look` is called when something may have become due. `now` gives seconds since the epoch.
    `in_thread` runs blocking work off the reactor. `store` or `trace` is None if the composition
    has none. `workers` is the number of workers, each of which has a Control; `worker` is the
    number of this one. `inspected()` gives the parts whose state can be looked at, by their names.

    If no host runs and the command line opens the store itself, it uses a Control too.
    """

    store: IQueueStore | None
    trace: ITrace | None
    look: Callable[[], None]
    now: Callable[[], float]
    in_thread: Callable[..., Deferred[Any]]
    hostname: str
    workers: int = 1
    worker: int = 0
    inspected: Callable[[], Sequence[tuple[str, IInspected]]] = tuple

    def answer(self, request: Mapping[str, Any]) -> Rows:
        """The rows that answer `{"ask": NAME, ...}`.

        Raises Refused if the request makes no sense.
        """
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
    look: Callable[[], None],
    inspected: Callable[[], Sequence[tuple[str, IInspected]]] = tuple,
) -> Control:
    """The Control for one host's plugins; `inspected` are further parts of the host."""
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

"""Answers requests about one host, or about one of its workers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ...hooks import Hooks
from ...interfaces import IInspected, ITrace
from ...settings import HostSettings
from .question import Rows
from .questions import QUESTIONS
from .subject import InThread, Refused, Subject


class Lender(Protocol):
    """The part of `host.resources` that is used here."""

    hooks: Hooks
    settings: HostSettings
    now: Callable[[], float]
    in_thread: InThread
    workers: int
    worker: int

    def inspected(self) -> Sequence[tuple[str, IInspected]]:
        """The plugins whose state can be looked at."""


@dataclass(frozen=True, kw_only=True)
class Control(Subject):
    """A host or worker that answers questions about itself.

    If no host runs and the command line opens the store itself, it uses a Control too.
    """

    def answer(self, request: Mapping[str, Any]) -> Rows:
        """The rows that answer `{"ask": NAME, ...}`.

        Raises Refused if the request makes no sense.
        """
        question = QUESTIONS.get(str(request.get("ask")))
        if question is None:
            raise Refused(f"unknown question {request.get('ask')!r}")
        return question.ask(self, **{key: each for key, each in request.items() if key != "ask"})


def control_of(
    resources: Lender,
    look: Callable[[Collection[str]], Mapping[str, str] | None],
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

"""Makes Hooks from plugin objects for tests, and waits for their answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from ..eventual import Eventual, at_once
from ..hooks import Bound, Hooks
from ..interfaces import IObserver, IQueueStore
from ..message import Event

T = TypeVar("T")


def compose_hooks(
    *,
    auth: Iterable[Any] = (),
    relay: Iterable[Any] = (),
    filters: Iterable[Any] = (),
    routes: Iterable[Any] = (),
    departures: Iterable[Any] = (),
    tls_policies: Iterable[Any] = (),
    agents: Mapping[str, Any] | None = None,
    observers: Iterable[Any] = (),
    services: Iterable[Any] = (),
    store: IQueueStore | None = None,
    reactor: Any = None,
    now: Callable[[], float] | None = None,
) -> Hooks:
    """The Hooks of these plugin objects; a Bound among them is taken as it is.

    Names are those of the classes in lower case. Without a reactor, time is a Clock's.
    """
    clock = Clock() if reactor is None else reactor
    return Hooks(
        reactor=clock,
        auth=_bound("auth", auth),
        relay=_bound("relay", relay),
        filters=_bound("filter", filters),
        routes=_bound("route", routes),
        departures=_bound("departure", departures),
        tls_policies=_bound("tls_policy", tls_policies),
        store=store,
        agents={
            name: plugin if isinstance(plugin, Bound) else Bound("deliver", name, plugin)
            for name, plugin in (agents or {}).items()
        },
        observers=_bound("observe", observers),
        services=_bound("serve", services),
        now=now or clock.seconds,
    )


def _bound(stage: str, plugins: Iterable[Any]) -> tuple[Bound, ...]:
    return tuple(
        plugin if isinstance(plugin, Bound) else Bound(stage, type(plugin).__name__.lower(), plugin)
        for plugin in plugins
    )


@implementer(IObserver)
class Remembered:
    """An observer that keeps every event, for a test to look at."""

    wants = None

    def __init__(self) -> None:
        self.events: list[Event] = []

    def observe(self, event: Event) -> None:
        """Keep it."""
        self.events.append(event)

    def verdicts(self, stage: str) -> list[str]:
        """The verdicts of one stage, in order."""
        return [event.verdict for event in self.events if event.stage == stage]


def result_of(eventual: Eventual[T]) -> T:
    """The value, which must be at hand. AssertionError if it is not; its exception is raised."""
    value = at_once(eventual)
    if not isinstance(value, Deferred):
        return value
    results: list[Any] = []
    value.addBoth(results.append)
    if not results:
        raise AssertionError("there is no result yet")
    if isinstance(results[0], Failure):
        results[0].raiseException()
    answer: T = results[0]
    return answer

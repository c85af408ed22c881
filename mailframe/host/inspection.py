"""The parts of a host whose state can be looked at, besides its plugins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from zope.interface import implementer

from ..interfaces import IInspected
from ..wire.listener import ListenerFactory


@implementer(IInspected)
class Listeners:
    """Shows how many sessions each listener has."""

    def __init__(
        self, factories: Mapping[str, ListenerFactory], ports: Callable[[], Mapping[str, object]]
    ) -> None:
        self._factories = factories
        self._ports = ports

    def state(self) -> Iterator[dict[str, object]]:
        """A row for each listener: `listener`, `sessions`, `most`, and `address` once it is bound.

        `most` is the limit of sessions.
        """
        ports = self._ports()
        for name, factory in self._factories.items():
            yield {
                "listener": name,
                "sessions": factory.sessions,
                "most": factory.limits.connections,
                "address": ports.get(name),
            }

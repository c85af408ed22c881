"""The parts of a host whose state can be looked at, besides its plugins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from zope.interface import implementer

from ..interfaces import IInspected
from ..wire.listener import ListenerFactory


@implementer(IInspected)
class Listeners:
    """How many sessions each listener has."""

    def __init__(
        self, factories: Mapping[str, ListenerFactory], ports: Callable[[], Mapping[str, object]]
    ) -> None:
        self._factories = factories
        self._ports = ports

    def state(self) -> Iterator[dict[str, object]]:
        """A row a listener: `listener`, `sessions`, `most` of them, `address` once it is bound."""
        ports = self._ports()
        for name, factory in self._factories.items():
            yield {
                "listener": name,
                "sessions": factory.sessions,
                "most": factory.limits.connections,
                "address": ports.get(name),
            }

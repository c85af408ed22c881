"""The parts of a host whose state can be looked at, besides its plugins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from zope.interface import implementer

from ..interfaces import IInspected
from ..reception.listener import Reception


@implementer(IInspected)
class Listeners:
    """How many sessions each listener has."""

    def __init__(
        self, receptions: Mapping[str, Reception], ports: Callable[[], Mapping[str, object]]
    ) -> None:
        self._receptions = receptions
        self._ports = ports

    def state(self) -> Iterator[dict[str, object]]:
        """A row a listener: `listener`, `sessions`, `most` of them, `address` once it is bound."""
        ports = self._ports()
        for name, reception in self._receptions.items():
            yield {
                "listener": name,
                "sessions": reception.sessions,
                "most": reception.limits.connections,
                "address": ports.get(name),
            }

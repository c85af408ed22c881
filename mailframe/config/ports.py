"""Finds listeners that want the same port, of which the second one could not start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from twisted.internet.endpoints import serverFromString
from twisted.internet.task import Clock

from ..settings import Listener
from .toml_index import Path as Place

_EVERYWHERE = ("", "0.0.0.0", "::")  # only compared with, never bound

#: What a listener binds: its port and interface, or a path and "unix".
Bound = tuple[int | str, str]


def taken_twice(listeners: Sequence[Listener]) -> Iterator[tuple[Place, str]]:
    """An error text for each listener whose port an earlier one already has."""
    before: list[tuple[str, Bound]] = []
    for number, listener in enumerate(listeners):
        bound = bound_by(listener)
        if bound is None or bound[0] == 0:
            continue
        first = next((name for name, other in before if _meet(bound, other)), None)
        if first is not None:
            message = f"listener {first!r} has port {bound[0]} already"
            yield ("listen", number, "endpoint"), message
        before.append((listener.name, bound))


def bound_by(listener: Listener) -> Bound | None:
    """What the listener will bind; None if that is not known here, or its endpoint is wrong."""
    asked = _Asked()
    try:
        # Nothing is bound: the endpoint gets a reactor that only notes the request.
        serverFromString(asked, listener.endpoint).listen(None)  # type: ignore[no-untyped-call]
    # The parsers of endpoints, some from third parties, may raise anything.
    except Exception:  # noqa: BLE001
        return None
    return asked.bound


class _Asked(Clock):
    """Stands in for a reactor, and notes what is to be bound."""

    bound: Bound | None = None

    # Twisted's reactors return a port, but the endpoints only pass it on.
    def listenTCP(self, port: int, factory: object, backlog: int = 50, interface: str = "") -> None:
        self.bound = port, interface

    def listenUNIX(self, address: str, factory: object, **_how: object) -> None:
        self.bound = address, "unix"


def _meet(one: Bound, other: Bound) -> bool:
    if one[0] != other[0]:
        return False
    families = {":" in interface for _, interface in (one, other)}
    everywhere = any(interface in _EVERYWHERE for _, interface in (one, other))
    return one[1] == other[1] or (everywhere and len(families) == 1)

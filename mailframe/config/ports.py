"""Listeners that want the same port: the second one could not start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from twisted.internet.endpoints import serverFromString
from twisted.internet.task import Clock

from ..settings import Listener
from .toml_index import Path as Place

_EVERYWHERE = ("", "0.0.0.0", "::")  # compared with, not bound

#: What a listener binds: its port and interface, or a path and "unix".
Bound = tuple[int | str, str]


def taken_twice(listeners: Sequence[Listener]) -> Iterator[tuple[Place, str]]:
    """A complaint for each listener whose port another one before it has."""
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
    """What it will bind; None if that is for others to say, or its endpoint is wrong."""
    asked = _Asked()
    try:
        # Nothing is bound: the endpoint is given a reactor that only notes what it is asked.
        serverFromString(asked, listener.endpoint).listen(None)  # type: ignore[no-untyped-call]
    # The parsers of endpoints, third parties' too, raise what they like.
    except Exception:  # noqa: BLE001
        return None
    return asked.bound


class _Asked(Clock):
    """In place of a reactor: notes what is to be bound."""

    bound: Bound | None = None

    # Twisted's reactors return a port; the endpoints only pass it on.
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

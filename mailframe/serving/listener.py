"""One `[[listen]]` whose `protocol` a plugin brings."""

from __future__ import annotations

from typing import Any

from ..hooks import Hooks
from ..interfaces import IServedProtocol
from ..wire.peer import Peer
from .connection import ServedConnection
from .entrance import ServedEntrance


class ServedListener(ServedEntrance):
    """Makes connections for `plugin`'s protocol. ValueError as ListenerFactory."""

    def client_protocol(self, peer: Peer | None) -> ServedConnection:
        """See ListenerFactory."""
        return ServedConnection(self, peer)


def served_protocols(hooks: Hooks) -> dict[str, Any]:
    """The plugins that bring a protocol, by its name. ValueError if two have the same name."""
    found: dict[str, Any] = {}
    for bound in hooks.services:
        if IServedProtocol.providedBy(bound.plugin) or hasattr(bound.plugin, "session"):
            name = str(bound.plugin.protocol)
            if name in found or name in ("smtp", "lmtp"):
                raise ValueError(f"the protocol {name!r} is there already")
            found[name] = bound.plugin
    return found

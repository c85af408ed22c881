"""One `[[listen]]` whose `protocol` a plugin brings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..hooks import Hooks
from ..interfaces import IServedProtocol
from ..settings import Limits, Listener
from ..wire.certificates import Certificates
from ..wire.listener import ListenerFactory
from ..wire.peer import Peer
from .connection import ServedConnection


class ServedListener(ListenerFactory):
    """Makes connections for `plugin`'s protocol. ValueError as ListenerFactory."""

    def __init__(
        self,
        plugin: Any,
        *,
        listener: Listener,
        limits: Limits,
        hooks: Hooks,
        certificates: Certificates | None,
        reactor: Any,
        now: Callable[[], float],
    ) -> None:
        super().__init__(listener, limits, certificates, reactor)
        self.plugin = plugin
        self.hooks = hooks
        self.now = now

    def client_protocol(self, peer: Peer | None) -> ServedConnection:
        """See ListenerFactory."""
        return ServedConnection(self, peer)

    def no_header(self, proxy: str, why: str) -> None:
        """See ListenerFactory; observers are told as well."""
        super().no_header(proxy, why)
        self.hooks.tell("session", "no PROXY header", client=proxy, why=why)


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

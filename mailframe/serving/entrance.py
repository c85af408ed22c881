"""What a connection needs of its listener: its plugin, its hooks, its clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..hooks import Hooks
from ..message.vocabulary import Stage, Verdict
from ..settings import Limits, Listener
from ..wire.certificates import Certificates
from ..wire.listener import ListenerFactory


class ServedEntrance(ListenerFactory):
    """The factory for `plugin`'s protocol, except for the making of connections."""

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
        #: The plugin's name, for observers.
        self.name = next(
            (each.name for each in hooks.services if each.plugin is plugin), listener.protocol
        )
        self.now = now

    def no_header(self, proxy: str, why: str) -> None:
        """See ListenerFactory; observers are told as well."""
        super().no_header(proxy, why)
        self.hooks.tell(Stage.SESSION, Verdict.NO_PROXY_HEADER, client=proxy, why=why)

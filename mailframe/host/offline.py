"""Opens the queue and the trace of a host that is down, for as long as a command needs them."""

from __future__ import annotations

import time
from typing import Any

from ..config import Composition
from ..eventual import at_once
from .control import Control, control_of
from .resources import Resources
from .stopping import Stopping


class Offline:
    """Builds only the plugins that keep mail and traces; binds no port and delivers nothing.

    The caller must hold the state folder. Raises ConfigErrors.
    """

    def __init__(self, composition: Composition, reactor: Any) -> None:
        self._resources = Resources(composition, reactor, time.time, {"queue", "observe"})
        self.control: Control = control_of(self._resources, look=lambda domains: None)

    def begin(self) -> None:
        """Open them; call this in the reactor. OSError if the queue cannot be opened."""
        self._resources.open()
        for each in self._resources.services():
            each.startService()

    async def end(self) -> None:
        """Give all leases back and close the files; a store that hangs is abandoned."""
        resources = self._resources
        stopping = Stopping(resources.reactor, resources.settings.stop_timeout)
        for each in reversed(resources.services()):
            await stopping.step(str(each.name), each.stopService)
        store = resources.hooks.store
        if store is not None:
            await stopping.step("store", lambda: at_once(store.close()))
        await stopping.step("threads", resources.close)

"""The queue and the traces of a host that is down, opened for as long as somebody looks."""

from __future__ import annotations

import time
from typing import Any

from ..config import Composition
from ..eventual import at_once
from .control import Control, control_of
from .resources import Resources
from .stopping import Stopping


class Offline:
    """Builds only what keeps mail and traces; no port is bound and nothing is delivered.

    Whoever uses it holds the state folder. Raises ConfigErrors.
    """

    def __init__(self, composition: Composition, reactor: Any) -> None:
        self._resources = Resources(composition, reactor, time.time, {"queue", "observe"})
        self.control: Control = control_of(self._resources, look=lambda domains: None)

    def begin(self) -> None:
        """Open them, in the reactor. OSError if the queue cannot be opened."""
        self._resources.open()
        for each in self._resources.services():
            each.startService()

    async def end(self) -> None:
        """Give back what was leased and let go of the files; a hanging store is left behind."""
        resources = self._resources
        stopping = Stopping(resources.reactor, resources.settings.stop_timeout)
        for each in reversed(resources.services()):
            await stopping.step(str(each.name), each.stopService)
        store = resources.hooks.store
        if store is not None:
            await stopping.step("store", lambda: at_once(store.close()))
        await stopping.step("threads", resources.close)

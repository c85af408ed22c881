"""Warns in the log of settings that are valid but dangerous, and daily of certificates."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from twisted.application.internet import TimerService
from twisted.logger import Logger

from ..config import Composition, ConfigError
from ..wire.certificates import Certificates
from .descriptors import too_few
from .resources import Resources
from .rights import hindrances, warnings_of

LOOK_EVERY = 86400.0  # seconds between two checks of certificates


def traps(composition: Composition, resources: Resources) -> Iterator[ConfigError]:
    """The warnings that a host finds once it is its `user`, each with its line. Blocks."""
    yield from resources.warnings
    if composition.settings.user is not None:
        needed = resources.needed
        yield from warnings_of(composition, needed, hindrances(needed))
    few = too_few(composition.settings)
    if few:
        yield composition.error("limits.connections", f"warning: {few}")


class CertificateWatch(TimerService):
    """Warns at the start and every day of certificates that expire soon or name another host."""

    _log = Logger()

    def __init__(
        self, certificates: Certificates, reactor: Any, now: Callable[[], float] = time.time
    ) -> None:
        super().__init__(LOOK_EVERY, self.look)
        self.clock = reactor
        self._certificates = certificates
        self._now = now

    def look(self) -> None:
        """Log what is wrong with the certificates now."""
        try:
            for trap in self._certificates.traps(self._now()):
                self._log.warn("certificates: {trap}", trap=trap)
        except (OSError, ValueError) as wrong:
            self._log.warn("certificates: {trap}", trap=str(wrong))

"""Renews the leases of the messages that are worked on before they end."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ..eventual import settled
from ..interfaces import IQueueStore
from .attempt import Attempt
from .window import Window


class Renewal:
    """Renews every `interval` seconds. `lease()` is the end of a lease that begins now."""

    _log = Logger()

    def __init__(
        self,
        *,
        store: IQueueStore,
        window: Window,
        reactor: IReactorTime,
        interval: float,
        lease: Callable[[], float],
    ) -> None:
        self._store = store
        self._window = window
        self._reactor = reactor
        self._interval = interval
        self._lease = lease
        self._next: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to renew the leases."""
        self._next = self._reactor.callLater(self._interval, self._renew)

    def stop(self) -> None:
        """Stop renewing, so that the leases end."""
        if self._next is not None and self._next.active():
            self._next.cancel()

    def hurry(self) -> None:
        """Renew them now, because the reactor's own time went back."""
        if self._next is not None and self._next.active():
            self._next.reset(0.0)

    def _renew(self) -> None:
        self.start()
        attempts = self._window.attempts
        if attempts:
            Deferred.fromCoroutine(self._prolong(attempts))

    async def _prolong(self, attempts: dict[str, Attempt]) -> None:
        try:
            ours = await settled(self._store.renew(list(attempts), self._lease()))
        except Exception:  # noqa: BLE001
            self._log.failure("leases could not be prolonged")
            return
        for id, attempt in attempts.items():
            if id not in ours:
                self._window.lose(id, attempt)

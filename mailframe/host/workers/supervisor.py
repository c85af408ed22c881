"""The process above the workers: it holds the ports and the state folder, and reads no mail.

It keeps the rights with which it was started, so that a worker that is started later can read keys
and then become `user`, as the first one did. From its workers it takes only words and log lines;
commands that ask about the queue ask the workers.
"""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

from twisted.application import service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from ...config import Composition, ConfigErrors, load
from ..listening import Listening, StartError, certificates_of, why
from ..resources import Resources
from ..startup import account_of, check
from ..state_folder import InUse, StateFolder
from .launch import Launch
from .process import WorkerProcess
from .slot import Slot

_AFTERWARDS = 10.0  # seconds for what a worker does before and after its own time limit


class Supervisor(service.Service):
    """Hands the listening sockets to `workers` processes and keeps these running.

    `privilegedStartService` takes the state folder and binds every port; `startService` starts the
    workers. A worker that dies is replaced after a pause that grows. `reload` reads the
    configuration again and replaces one worker after the other. `stopService` fires when all
    workers have ended. Raises ConfigErrors and StartError, as Host does.
    """

    _log = Logger()

    def __init__(self, composition: Composition, reactor: Any) -> None:
        self._composition = composition
        self._reactor = reactor
        _try(composition, reactor)
        settings = composition.settings
        self._account = account_of(settings)
        self._state = StateFolder(settings.state)
        self._listening = Listening(reactor, taking=False)
        # First the clients, then what is under way, then the store: each may take this long.
        patience = 2 * settings.stop_timeout + _AFTERWARDS
        self.slots = [
            Slot(number, self._spawning(number, composition), reactor, patience)
            for number in range(settings.workers)
        ]
        self._old_hangup: Any = None
        self._reloading = self._again = False

    @property
    def ports(self) -> dict[str, tuple[str, int]]:
        """Address and port of each listener that is bound; for a unix socket its path and 0."""
        return self._listening.addresses()

    def privilegedStartService(self) -> None:
        """Take the state folder and bind every port, with the rights that this process has."""
        try:
            self._state.take(self._account)
        except (OSError, InUse) as wrong:
            raise self._given_up(f"state: {why(wrong)}") from None
        try:
            for listener in self._composition.settings.listen:
                self._listening.bind(listener, _Nobody())
        except (StartError, CannotListenError) as wrong:
            raise self._given_up(why(wrong)) from None

    def _given_up(self, message: str) -> StartError:
        """Release everything that a failed start has taken; returns the error to raise."""
        self._log.critical("not started: {reason}", reason=message)
        self._listening.stop()
        self._state.let_go()
        return StartError(message)

    def startService(self) -> None:
        """Start the workers once every port is bound."""
        super().startService()
        if threading.current_thread() is threading.main_thread():
            self._old_hangup = signal.signal(
                signal.SIGHUP, lambda *_: self._reactor.callFromThread(self.reload)
            )
        self._listening.all_bound().addCallback(self._begin).addErrback(self._not_ready)

    def _begin(self, _result: object) -> Deferred[None]:
        return Deferred.fromCoroutine(self._first_workers())

    async def _first_workers(self) -> None:
        first = [slot.begin() for slot in self.slots]
        for worker in first:
            if not await worker.ready.wait():
                how = await worker.ended.wait()
                raise StartError(f"worker {worker.number}: {how}")
        if not self.running:
            return
        try:
            self._state.write_ports(self.ports)
        except OSError as failed:
            self._log.warn("the ports could not be written down: {why}", why=why(failed))
        self._log.info(
            "{hostname} ready, {workers} workers: {listeners}",
            hostname=self._composition.settings.hostname,
            workers=len(self.slots),
            listeners=self._listening.in_words(),
        )

    def _not_ready(self, failure: Any) -> None:
        if not self.running:
            return
        wrong = getattr(failure.value, "subFailure", failure).value  # gatherResults' FirstError
        self._log.critical("not started: {reason}", reason=why(wrong))
        self._reactor.stop()

    def _spawning(self, number: int, composition: Composition) -> Any:
        def spawn() -> WorkerProcess:
            worker = WorkerProcess(Launch(composition, number, len(self.slots)))
            worker.spawn(self._reactor, self._state.lock, self._listening.sockets())
            return worker

        return spawn

    def reload(self) -> None:
        """Read the configuration again and replace the workers one by one, at SIGHUP.

        Each new worker is composed and stands by before the old one stops accepting clients. The
        sockets stay open, and the other workers accept clients meanwhile. If the new configuration
        has mistakes, all workers stay. If it is called again while it works, it runs once more
        afterwards.
        """
        if self._reloading:
            self._again = True
            return
        self._reloading = True
        reloading = Deferred.fromCoroutine(self._reload())
        reloading.addErrback(self._reload_failed).addCallback(self._reloaded)

    def _reload_failed(self, failure: Any) -> None:
        self._log.failure("not reloaded", failure=failure)

    def _reloaded(self, _result: object) -> None:
        self._reloading = False
        again, self._again = self._again, False
        if again and self.running:
            self.reload()

    async def _reload(self) -> None:
        try:
            composition = self._new_composition()
        except (ConfigErrors, StartError) as wrong:
            self._log.error("not reloaded, all go on as they were: {reason}", reason=str(wrong))
            return
        self._composition = composition
        for slot in self.slots:
            began = time.monotonic()
            wrong_with_it = await slot.relieve(self._spawning(slot.number, composition))
            if not self.running:
                return
            if wrong_with_it:
                self._log.error(
                    "worker {number} is not replaced, nor those after it: {reason}",
                    number=slot.number,
                    reason=wrong_with_it,
                )
                return
            seconds = round(time.monotonic() - began, 2)
            self._log.info(
                "worker {number} replaced in {seconds} s", number=slot.number, seconds=seconds
            )
        self._log.info("reloaded")

    def _new_composition(self) -> Composition:
        """The file as it is now.

        Raises ConfigErrors, and StartError for changes that need a restart.
        """
        old = self._composition
        if old.file is None:
            return old
        new = load(old.file)
        _try(new, self._reactor)
        changed = [
            key
            for key in ("state", "user", "group", "workers")
            if getattr(new.settings, key) != getattr(old.settings, key)
        ]
        if _places(new) != _places(old):
            changed.append("the endpoints of [[listen]]")
        if changed:
            raise StartError(f"{', '.join(changed)}: a change of that needs a restart")
        return new

    def stopService(self) -> Deferred[None]:
        """Stop all workers gracefully.

        Fires when they have ended and the state folder is released.
        """
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._old_hangup is not None:
            signal.signal(signal.SIGHUP, self._old_hangup)
        workers = [worker for slot in self.slots for worker in slot.processes]
        for slot in self.slots:
            slot.stop()
        # If the sockets were closed before the workers end, they would fail while in use.
        await gatherResults([worker.closed.wait() for worker in workers])
        await self._listening.stop()
        await gatherResults([worker.ended.wait() for worker in workers])
        try:
            self._state.leave()
        except OSError as wrong:
            self._log.error("state folder: {reason}", reason=why(wrong))
        self._log.info("stopped")


class _Nobody(Factory):
    """The factory of a port that the supervisor only holds: it accepts no client."""

    noisy = False


def _try(composition: Composition, reactor: Any) -> None:
    """Find out now what would keep every worker from starting. ConfigErrors, StartError."""
    check(composition)
    certificates_of(composition.settings)
    hooks = Resources(composition, reactor, time.time).hooks
    if hooks.store is None:
        raise StartError("the composition has no [queue]")


def _places(composition: Composition) -> dict[str, str]:
    return {listener.name: listener.endpoint for listener in composition.settings.listen}

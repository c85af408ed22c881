"""The host of one composition: how it starts, reloads, retires and stops."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from twisted.application import service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from ..config import Composition, ConfigErrors, load
from ..eventual import at_once
from ..interfaces import IInspected
from ..queue.scheduler import Scheduler
from ..reception.listener import Reception
from ..reception.shared import Shared
from ..serving import ServedListener
from ..settings import Listener
from ..wire.listener import ListenerFactory
from .changes import changed_tables
from .control import ControlFactory, control_of
from .inspection import Listeners
from .listening import Listening, StartError, certificates_of, why
from .own_addresses import OwnAddresses
from .privileges import become
from .resources import Resources
from .startup import account_of, check
from .state_folder import InUse, StateFolder
from .stopping import Stopping
from .traps import CertificateWatch, traps
from .watchdog import Watchdog
from .workers.launch import Launch
from .workers.supervisor import Supervisor

CONTROL_MODE = 0o600
_CLOSING = 0.2  # fraction of stop_timeout that is kept for the store, which gives the leases back


def make_service(composition: Composition | str | Path) -> Host | Supervisor:
    """The host of a composition or of a configuration file, on Twisted's own reactor.

    If `workers` is more than 1 it is the supervisor of that many processes, with a Host in each.
    Raises ConfigErrors with everything that is wrong, and StartError.
    """
    from twisted.internet import reactor

    if not isinstance(composition, Composition):
        composition = load(Path(composition).absolute())
    steady(reactor)
    if composition.settings.workers > 1:
        return Supervisor(composition, reactor)
    return Host(composition, reactor)


def steady(reactor: Any) -> None:
    """Give the reactor a clock that cannot be set; its own is the wall clock.

    If the wall clock were set back, every delayed call would wait that much longer. Call this while
    no delayed call waits.
    """
    if not reactor.getDelayedCalls():
        reactor.seconds = time.monotonic


class Host(service.MultiService):
    """One mail host. Only binding needs root's rights.

    `privilegedStartService` takes the state folder and binds the ports. `startService` gives up
    root's rights if `user` is set, and starts the plugins' services, the queue and the control
    socket. `stopService` fires once no commit is under way, all leases are given back and the store
    is closed, at the latest after `stop_timeout`. Raises ConfigErrors and StartError; each start
    method raises StartError.

    With a `launch` it is one worker of several: the supervisor holds the state folder and has bound
    the ports. `ready` fires when clients are accepted.
    """

    _log = Logger()

    def __init__(
        self,
        composition: Composition,
        reactor: Any,
        now: Callable[[], float] = time.time,
        launch: Launch | None = None,
    ) -> None:
        super().__init__()
        self._launch = launch or Launch(composition)
        self.settings = composition.settings
        self._reactor = reactor
        check(composition)
        self._account = account_of(self.settings)
        self.certificates = certificates_of(self.settings)
        number, of = self._launch.number, self._launch.of
        self.resources = Resources(composition, reactor, now, worker=number, workers=of)
        self.hooks = self.resources.hooks
        if self.hooks.store is None:
            raise StartError("the composition has no [queue]")
        self._store = self.hooks.store
        self._state = StateFolder(self.settings.state, number)
        self._add_services()
        self.scheduler = self._scheduler(now)
        self.resources.door = self.scheduler.submission.submit
        self.resources.certificates = self.certificates
        self.receptions: dict[str, ListenerFactory] = {
            listener.name: self._reception(listener, now) for listener in self.settings.listen
        }
        self._listening = Listening(reactor, self._launch.sockets)
        self.resources.is_own = OwnAddresses(self._smtp_ports, reactor.seconds).has
        self.ready: Deferred[None] = Deferred()
        control = control_of(self.resources, self.scheduler.look, self._inspected)
        self.resources.control = control
        self._control = ControlFactory(control)
        self._control_port: IListeningPort | None = None
        self._old_hangup: Any = None

    def _add_services(self) -> None:
        """Add the plugins' services, and those that watch the host."""
        for each in self.resources.services():
            each.setServiceParent(self)
        if self.certificates is not None and self._launch.number == 0:
            CertificateWatch(self.certificates, self._reactor).setServiceParent(self)
        if self.settings.block_warning is not None:
            watchdog = Watchdog(self._reactor, self.settings.block_warning, self.hooks.bounds)
            watchdog.setServiceParent(self)

    def _scheduler(self, now: Callable[[], float]) -> Scheduler:
        return Scheduler(
            hooks=self.hooks,
            store=self._store,
            hostname=self.settings.hostname,
            times=self.settings.retry,
            bounces=self.settings.bounce,
            reactor=self._reactor,
            now=now,
            chance=lambda: random.uniform(-1, 1),
            in_thread=self.resources.in_thread,
        )

    def _reception(self, listener: Listener, now: Callable[[], float]) -> ListenerFactory:
        served = self.resources.served.get(listener.protocol)
        if served is not None:
            return ServedListener(
                served,
                listener=listener,
                limits=listener.limits or self.settings.limits,
                hooks=self.hooks,
                certificates=self.certificates,
                reactor=self._reactor,
                now=now,
            )
        return Reception(
            Shared(
                hostname=self.settings.hostname,
                listener=listener,
                limits=listener.limits or self.settings.limits,
                hooks=self.hooks,
                store=self._store,
                certificates=self.certificates,
                reactor=self._reactor,
                now=now,
                commit=self.scheduler.submission.commit,
                in_thread=self.resources.in_thread,
            )
        )

    def _inspected(self) -> list[tuple[str, IInspected]]:
        listeners = Listeners(self.receptions, lambda: self.ports)
        guesses = self.hooks.logins.guesses
        return [
            ("listeners", listeners),
            ("logins", guesses),
            ("queue", self.scheduler),
            ("hooks", self.hooks),
        ]

    @property
    def ports(self) -> dict[str, tuple[str, int]]:
        """Address and port of each listener that is bound; for a unix socket its path and 0."""
        return self._listening.addresses()

    def _smtp_ports(self) -> dict[str, tuple[str, int]]:
        smtp = {each.name for each in self.settings.listen if each.protocol == "smtp"}
        return {name: port for name, port in self.ports.items() if name in smtp}

    def privilegedStartService(self) -> None:
        """Take the state folder and bind every port, with the rights that this process has."""
        try:
            if not self._launch.supervised:
                self._state.take(self._account)
        except (OSError, InUse) as wrong:
            raise self._given_up(f"state: {why(wrong)}") from None
        try:
            super().privilegedStartService()
            for listener in self.settings.listen:
                self._listening.bind(listener, self.receptions[listener.name])
        except (StartError, CannotListenError) as wrong:
            raise self._given_up(why(wrong)) from None

    def startService(self) -> None:
        """Become an ordinary user, then start.

        Clients that have connected meanwhile are answered now.
        """
        try:
            if become(self._account):
                self._log.info("running as {user}", user=self.settings.user)
            elif os.geteuid() == 0:
                self._log.warn("running as root: `user` names who to be instead")
            self._warn()
            self.resources.open()
            super().startService()
            self.scheduler.startService()
            self._open_control()
        except (OSError, CannotListenError) as wrong:
            raise self._given_up(why(wrong)) from None
        self._listen_for_hangup()
        self._listening.all_bound().addCallbacks(self._ready, self._not_ready)

    def _warn(self) -> None:
        """Log warnings of settings that are valid but dangerous. Only one process does it."""
        if self._launch.number == 0:
            for trap in traps(self._launch.composition, self.resources):
                self._log.warn("{trap}", trap=str(trap))

    def _given_up(self, message: str) -> StartError:
        """Release everything that a failed start has taken; returns the error to raise."""
        self._log.critical("not started: {reason}", reason=message)
        self._listening.stop()
        self._state.let_go()
        return StartError(message)

    def _open_control(self) -> None:
        # We hold the folder, so a socket file here is left over from a host that died.
        self._state.control.unlink(missing_ok=True)
        self._control_port = self._reactor.listenUNIX(
            str(self._state.control), self._control, mode=CONTROL_MODE
        )

    def _ready(self, _result: object) -> None:
        if not self._launch.supervised:
            try:
                self._state.write_ports(self.ports)
            except OSError as failed:
                # A full disk: the host serves all the same, and tells its clients so.
                self._log.warn("the ports could not be written down: {why}", why=why(failed))
            self._log.info(
                "{hostname} ready: {listeners}",
                hostname=self.settings.hostname,
                listeners=self._listening.in_words(),
            )
        self.ready.callback(None)

    def _not_ready(self, failure: Any) -> None:
        first = failure.value.subFailure.value  # gatherResults' FirstError
        self._log.critical("not started: {reason}", reason=why(first))
        self._reactor.stop()

    def _listen_for_hangup(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._old_hangup = signal.signal(
                signal.SIGHUP, lambda *_: self._reactor.callFromThread(self.reload)
            )

    def reload(self) -> None:
        """Read the certificates again, at SIGHUP, and say whether the configuration changed.

        Certificates and lists are also watched without it. Under a supervisor, the supervisor
        reads the configuration and replaces its workers.
        """
        self._log.info("reloading the certificates; lists are read whenever they change")
        if self.certificates is not None:
            self.certificates.reload()
        old = self._launch.composition
        if old.file is None or self._launch.supervised:
            return
        try:
            changed = changed_tables(old, load(old.file))
        except ConfigErrors as wrong:
            problem = "\n".join(map(str, wrong.errors))
            self._log.error("the configuration is wrong now: {problem}", problem=problem)
            return
        if changed:
            self._log.warn(
                "{file} changed: restart to use it: {tables}",
                file=str(old.file),
                tables=", ".join(changed),
            )

    def retire(self) -> Deferred[None]:
        """Accept no more clients and let the present ones finish; `stopService` comes next.

        Fires when the last client has gone, at the latest after `stop_timeout`.
        """
        return Deferred.fromCoroutine(self._retire())

    def close_ports(self) -> Deferred[Any]:
        """Accept no more clients."""
        return self._listening.stop()

    async def _retire(self) -> None:
        await self.close_ports()
        emptied = [reception.emptied() for reception in self.receptions.values()]
        patience = Stopping(self._reactor, self.settings.stop_timeout)
        await patience.step("sessions", lambda: gatherResults(emptied))

    def stopService(self) -> Deferred[None]:
        """Stop in this order: listeners, queue, plugins, store. Never fails."""
        service.Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        seconds = self.settings.stop_timeout
        stopping = Stopping(self._reactor, seconds * (1 - _CLOSING))
        await stopping.step("listeners", self._stop_listening)
        await stopping.step("sessions", self._stop_receptions)
        await stopping.step("queue", self.scheduler.stopService)
        for each in reversed(list(self)):
            await stopping.step(f"service {each.name or type(each).__name__}", each.stopService)
        closing = Stopping(self._reactor, seconds * _CLOSING)
        await closing.step("store", lambda: at_once(self._store.close()))
        await closing.step("threads", self.resources.close)
        left = self._state.close_door if self._launch.supervised else self._state.leave
        await closing.step("state folder", left)
        if self._old_hangup is not None:
            signal.signal(signal.SIGHUP, self._old_hangup)
        self._log.info("stopped")

    def _stop_listening(self) -> Deferred[Any]:
        stopped = [self._listening.stop()]
        if self._control_port is not None:
            stopped.append(_deferred(self._control_port.stopListening()))
        self._control.close()
        return gatherResults(stopped)

    def _stop_receptions(self) -> Deferred[Any]:
        graceful: Iterable[Deferred[None]] = [
            reception.stop_gracefully() for reception in self.receptions.values()
        ]
        return gatherResults(graceful)


def _deferred(result: Any) -> Deferred[Any]:
    """A Deferred of a result that Twisted gives as a value or as a Deferred."""
    if isinstance(result, Deferred):
        return result
    done: Deferred[Any] = Deferred()
    done.callback(result)
    return done

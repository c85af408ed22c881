"""Binds the ports that clients connect to, by name, and explains errors in words."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.python.failure import Failure

from ..settings import HostSettings, Listener
from ..wire.certificates import Certificates, certificates_in
from ..wire.endpoint import as_twisted_reads_it
from ..wire.transport import make_prompt
from .workers.adopted import AdoptedSocket


class StartError(Exception):
    """The host cannot start; the message is for the operator."""


def why(wrong: BaseException | None) -> str:
    """An error's cause in words: "Address already in use (EADDRINUSE)"."""
    if isinstance(wrong, CannotListenError):
        return why(wrong.socketError) if wrong.socketError else str(wrong)
    if isinstance(wrong, OSError) and wrong.errno is not None:
        where = f"{wrong.filename}: " if wrong.filename else ""
        name = errno.errorcode.get(wrong.errno, wrong.errno)
        return f"{where}{wrong.strerror or os.strerror(wrong.errno)} ({name})"
    return str(wrong) or type(wrong).__name__


def certificates_of(settings: HostSettings) -> Certificates | None:
    """The certificates of `[tls]` and the authorities for clients, read now. Raises StartError."""
    if settings.tls is None:
        return None
    client_cas = [file for each in settings.listen if (file := client_ca_of(each)) is not None]
    try:
        return Certificates(settings.tls, settings.hostname, client_cas=client_cas)
    except (OSError, ValueError) as wrong:
        raise StartError(f"[tls] certificates: {why(wrong)}") from None


def client_ca_of(listener: Listener) -> Path | None:
    """The listener's file of authorities for clients, if any.

    Raises StartError if it cannot be used.
    """
    file = listener.client_ca
    if file is not None:
        try:
            certificates_in(file)
        except (OSError, ValueError) as wrong:
            raise StartError(f"listener {listener.name!r}: client_ca: {why(wrong)}") from None
    return file


class Listening:
    """The bound ports of one host.

    `adopted` are sockets, by listener name, that are bound already. If `taking` is False, no client
    is accepted: the ports are only held, so that other processes can accept clients.
    """

    def __init__(
        self, reactor: Any, adopted: Mapping[str, int] | None = None, taking: bool = True
    ) -> None:
        self._reactor = reactor
        self._adopted = adopted or {}
        self._taking = taking
        self._binding: list[Deferred[Any]] = []
        self._ports: dict[str, IListeningPort] = {}
        self._stopped = False

    def bind(self, listener: Listener, factory: IProtocolFactory) -> None:
        """Bind this listener.

        Raises StartError if that fails at once, ValueError for an unusable endpoint.
        """
        reactor = self._reactor
        if listener.name in self._adopted:
            reactor = AdoptedSocket(reactor, self._adopted[listener.name])
        binding = serverFromString(reactor, as_twisted_reads_it(listener.endpoint)).listen(factory)
        failed: list[StartError] = []

        def bound(port: Any) -> Any:
            self._ports[listener.name] = port
            make_prompt(port)
            if not self._taking:
                port.stopReading()
            return port.stopListening() if self._stopped else None

        def not_bound(failure: Failure) -> Failure:
            cause = why(failure.value)
            wrong = StartError(
                f"listener {listener.name!r} cannot listen on {listener.endpoint}: {cause}"
            )
            failed.append(wrong)
            return Failure(wrong)

        binding.addCallbacks(bound, not_bound)
        if failed:
            binding.addErrback(lambda _: None)
            raise failed[0]
        self._binding.append(binding)

    def all_bound(self) -> Deferred[Any]:
        """Fires when every port is bound; fails with the first StartError."""
        return gatherResults(self._binding, consumeErrors=True)

    def addresses(self) -> dict[str, tuple[str, int]]:
        """Address and port by listener name; for a unix socket its path and 0."""
        return {name: _address(port.getHost()) for name, port in self._ports.items()}

    def in_words(self) -> str:
        """The same for the log: "mx 192.0.2.1:25, lmtp /run/lmtp"."""
        return ", ".join(
            f"{name} {host}" + (f":{port}" if port else "")
            for name, (host, port) in self.addresses().items()
        )

    def sockets(self) -> dict[str, int]:
        """The descriptor of each bound port, to be handed to other processes."""
        return {name: port.fileno() for name, port in self._ports.items()}  # type: ignore[attr-defined]

    def stop(self) -> Deferred[Any]:
        """Accept no more connections; those that are open stay open."""
        self._stopped = True
        ports, self._ports = self._ports, {}  # Twisted's ports must not be stopped twice
        stopped = [maybeDeferred(port.stopListening) for port in ports.values()]
        return gatherResults(stopped, consumeErrors=True)


def _address(host: Any) -> tuple[str, int]:
    if isinstance(host, UNIXAddress):
        return os.fsdecode(host.name or b""), 0
    return str(host.host), int(host.port)

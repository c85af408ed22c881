"""Listens on a socket that another process has bound.

The text of an endpoint may say more than the place: TLS, or a protocol that wraps ours. So the
worker asks the same endpoint to listen, on a reactor that takes the socket instead of binding.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import ServerFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer


class AdoptedSocket:
    """A reactor whose next port is this listening socket, whatever place it is told."""

    def __init__(self, reactor: Any, descriptor: int) -> None:
        self._reactor = reactor
        self._descriptor = descriptor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, port: int, factory: ServerFactory, *_how: Any, **_more: Any) -> Any:
        """As IReactorTCP has it."""
        return self._adopted(factory)

    def listenSSL(
        self, port: int, factory: ServerFactory, contextFactory: Any, *_how: Any, **_more: Any
    ) -> Any:
        """As IReactorSSL has it."""
        return self._adopted(TLSMemoryBIOFactory(contextFactory, False, factory))

    def listenUNIX(self, address: str, factory: ServerFactory, *_how: Any, **_more: Any) -> Any:
        """As IReactorUNIX has it."""
        return self._adopted(factory)

    def _adopted(self, factory: Any) -> Any:
        with socket.socket(fileno=os.dup(self._descriptor)) as adopted:
            family = adopted.family
        port = self._reactor.adoptStreamPort(self._descriptor, family, factory)
        return _UnixPort(port, factory) if family == socket.AF_UNIX else port


@implementer(IListeningPort)
class _UnixPort:
    """A port that leaves the socket's file in place, because other processes still listen there.

    Twisted's own port would remove it.
    """

    def __init__(self, port: Any, factory: Any) -> None:
        self._port = port
        self._factory = factory

    def startListening(self) -> None:
        """Nothing to do: it listens already."""

    def stopListening(self) -> None:
        """Accept no more connections in this process."""
        self._port.stopReading()
        self._factory.doStop()

    def getHost(self) -> Any:
        """The address where it listens."""
        return self._port.getHost()

"""Listening on a socket that was bound by another process.

An endpoint's text may say more than where: TLS, or a protocol around ours. So the worker
asks the same endpoint to listen, on a reactor that takes the socket instead of binding one.
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
    """A reactor whose next port is this listening socket, wherever it is told to listen."""

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
    """Twisted's own would take the socket's file away, which others still listen at."""

    def __init__(self, port: Any, factory: Any) -> None:
        self._port = port
        self._factory = factory

    def startListening(self) -> None:
        """It does already."""

    def stopListening(self) -> None:
        """Take no more connections from here."""
        self._port.stopReading()
        self._factory.doStop()

    def getHost(self) -> Any:
        """Where it listens."""
        return self._port.getHost()

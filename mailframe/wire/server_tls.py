"""TLS as the server of one connection: from the first octet, or when the protocol says so."""

from __future__ import annotations

from collections.abc import Callable
from socket import socket
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer

from .certificates import ServerOptions
from .transport import ISocketTls


@implementer(ISocketTls, IOpenSSLServerConnectionCreator)
class ServerTls:
    """One handshake. It makes OpenSSL's connection itself, to know what came of it.

    `done` is called once, with that connection, when all that follows is encrypted. On
    transports that do not leave their socket to OpenSSL Twisted tells the protocol
    (IHandshakeListener), which must pass `handshakeCompleted` on.
    """

    __slots__ = ("_connection", "_done", "_options")

    def __init__(self, options: ServerOptions, done: Callable[[SSL.Connection], None]) -> None:
        self._options = options
        self._done = done
        self._connection: SSL.Connection | None = None

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """Twisted: OpenSSL's side of the TLS layer that begins."""
        self._connection = self._options.serverConnectionForTLS(tlsProtocol)
        return self._connection

    def serverConnectionOver(self, socket: socket) -> SSL.Connection:
        """The same for a transport that leaves its socket to OpenSSL."""
        self._connection = self._options.serverConnectionOver(socket)
        return self._connection

    def handshakeCompleted(self) -> None:
        """Twisted: the handshake is done."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._done(connection)

"""TLS as a server, for one connection: from the first octet, or when the protocol begins it."""

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
    """One handshake. It makes OpenSSL's connection itself, so that it can ask for the result.

    `done` is called once, with that connection, when everything that follows is encrypted. If the
    transport does not let OpenSSL use its socket, Twisted tells the protocol (IHandshakeListener),
    which must pass `handshakeCompleted` on.
    """

    __slots__ = ("_connection", "_done", "_options")

    def __init__(self, options: ServerOptions, done: Callable[[SSL.Connection], None]) -> None:
        self._options = options
        self._done = done
        self._connection: SSL.Connection | None = None

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """Called by Twisted for OpenSSL's side of the TLS layer that begins."""
        self._connection = self._options.serverConnectionForTLS(tlsProtocol)
        return self._connection

    def serverConnectionOver(self, socket: socket) -> SSL.Connection:
        """The same for a transport that lets OpenSSL use its socket."""
        self._connection = self._options.serverConnectionOver(socket)
        return self._connection

    def handshakeCompleted(self) -> None:
        """Called by Twisted when the handshake has finished."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._done(connection)

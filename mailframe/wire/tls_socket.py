"""TLS straight on the socket: OpenSSL reads and writes it itself.

Twisted's own TLS keeps four buffers of OpenSSL's and five objects for each connection, for as
long as it lasts: 5 KB of an idle session, more with a long chain of certificates.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from errno import ECONNABORTED, EWOULDBLOCK
from typing import Any

from OpenSSL import SSL

RECORD = 1 << 14  # octets of content in a TLS record at most (RFC 8446 section 5.1)


class TlsSocket:
    """In place of a non-blocking socket whose client begins a TLS handshake.

    `connection` is OpenSSL's over that socket, `shaken` is called once, when the handshake is
    done. What goes wrong in TLS is an OSError, as if the client had broken off; an alert that
    says why has been sent then.
    """

    __slots__ = ("_connection", "_shaken", "_socket")

    def __init__(
        self, plain: socket.socket, connection: SSL.Connection, shaken: Callable[[], None]
    ) -> None:
        self._socket = plain
        self._connection = connection
        self._shaken: Callable[[], None] | None = shaken
        connection.set_accept_state()

    def recv(self, size: int) -> bytes:
        """Octets of the client; b"" where it has said that none will follow.

        The whole next record whatever `size` says: the reactor would not see a rest of it.
        """
        shaken = self._shaken
        if shaken is not None:
            self._do(self._connection.do_handshake)
            self._shaken = None
            shaken()
        octets: bytes = self._do(self._connection.recv, RECORD)
        return octets

    def send(self, octets: memoryview) -> int:
        """Send some of it; how many octets."""
        try:
            return self._connection.send(octets)
        except SSL.WantWriteError:
            raise BlockingIOError(EWOULDBLOCK, "the client reads no more") from None
        except SSL.Error as wrong:
            raise ConnectionAbortedError(ECONNABORTED, repr(wrong)) from None

    def _do(self, what: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return what(*arguments)
        except SSL.WantReadError:
            raise BlockingIOError(EWOULDBLOCK, "nothing is there") from None
        except SSL.ZeroReturnError:
            return b""
        except SSL.Error as wrong:
            # WantWriteError too: nobody fills our socket before TLS has begun, or while
            # asking for new keys (RFC 8446 section 4.6.3), except to keep us busy.
            raise ConnectionAbortedError(ECONNABORTED, repr(wrong)) from None

    def shutdown(self, how: int) -> None:
        """Say that nothing will follow (RFC 8446 section 6.1); the client's word is not awaited."""
        if self._shaken is None:
            try:
                self._connection.shutdown()
            except SSL.Error:
                pass  # it is gone, or does not read
        self._socket.shutdown(how)

    def close(self) -> None:
        """Give the descriptor back."""
        self._socket.close()

    def fileno(self) -> int:
        """The socket's."""
        return self._socket.fileno()

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        """As of the socket."""
        self._socket.setsockopt(level, option, value)

    def getsockopt(self, level: int, option: int) -> int:
        """As of the socket."""
        return self._socket.getsockopt(level, option)

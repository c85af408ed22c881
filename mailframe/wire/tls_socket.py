"""TLS directly on the socket, which OpenSSL reads and writes itself.

Twisted's own TLS keeps four of OpenSSL's buffers and five objects for each connection, as long as
it lasts. That is 5 KB of an idle session, and more with a long chain of certificates.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from errno import ECONNABORTED, EWOULDBLOCK
from typing import Any

from OpenSSL import SSL

RECORD = 1 << 14  # the most octets of content in a TLS record (RFC 8446 section 5.1)


class TlsSocket:
    """Replaces a non-blocking socket whose client begins a TLS handshake.

    `connection` is OpenSSL's, over that socket. `shaken` is called once, when the handshake has
    finished. An error in TLS is an OSError, as if the client had disconnected; an alert that says
    why has been sent by then.
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
        """Octets from the client; b"" if it has said that no more follow.

        Returns the whole next record, whatever `size` is, because the reactor would not see a rest
        of it.
        """
        shaken = self._shaken
        if shaken is not None:
            self._do(self._connection.do_handshake)
            self._shaken = None
            shaken()
        octets: bytes = self._do(self._connection.recv, RECORD)
        return octets

    def send(self, octets: memoryview) -> int:
        """Send some of the octets; returns how many."""
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
            # Also for WantWriteError: no client fills our socket before TLS has begun, or while it
            # asks for new keys (RFC 8446 section 4.6.3), except to keep us busy.
            raise ConnectionAbortedError(ECONNABORTED, repr(wrong)) from None

    def shutdown(self, how: int) -> None:
        """Tell the client that no more follows (RFC 8446 section 6.1).

        Its answer is not awaited.
        """
        if self._shaken is None:
            try:
                self._connection.shutdown()
            except SSL.Error:
                pass  # it has gone, or does not read
        self._socket.shutdown(how)

    def close(self) -> None:
        """Close the descriptor."""
        self._socket.close()

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        """As socket.setsockopt."""
        self._socket.setsockopt(level, option, value)

    def getsockopt(self, level: int, option: int) -> int:
        """As socket.getsockopt."""
        return self._socket.getsockopt(level, option)

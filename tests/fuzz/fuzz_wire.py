"""A client's end of a real connection: never blocks on writing, reads whatever comes, TLS too."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time

from fuzz_replies import Broken

HANDSHAKE = 10.0  # seconds


class Wire:
    """`ended` is True once the server has closed, `reset` where it did so without a FIN."""

    def __init__(self, port: int, cadata: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]
        self._cadata = cadata
        self._out = bytearray()
        self._tls: ssl.SSLObject | None = None
        self._from_server, self._to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ended = self.reset = False
        self.raw_after_tls_refused = b""

    def write(self, octets: bytes) -> None:
        """Queue octets; `turn` sends them."""
        if self._tls is not None:
            self._tls.write(octets)
            self._out += self._to_server.read()
        else:
            self._out += octets

    def turn(self, seconds: float) -> bytes:
        """Send what can be sent; what has come within so many seconds, decrypted."""
        if self.ended:
            return b""
        return self._clear(self._turn(seconds))

    @property
    def unsent(self) -> int:
        """Octets that the server has not taken."""
        return len(self._out)

    def _turn(self, seconds: float) -> bytes:
        if self.ended:
            return b""
        writing = [self._socket] if self._out else []
        readable, writable, _ = select.select([self._socket], writing, [], seconds)
        try:
            if writable:
                del self._out[: self._socket.send(self._out[:65536])]
            if not readable:
                return b""
            octets = self._socket.recv(65536)
        except BlockingIOError:
            return b""
        except OSError:
            self.ended = self.reset = True
            return b""
        self.ended = not octets
        return octets

    def _clear(self, octets: bytes) -> bytes:
        if self._tls is None:
            return octets
        self._from_server.write(octets)
        if self.ended:
            self._from_server.write_eof()
        clear = b""
        try:
            while piece := self._tls.read(65536):
                clear += piece
            self.ended = True  # the server's close_notify
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self.ended = True
        return clear

    def start_tls(self) -> bool:
        """The handshake; False where it fails, and then the connection is of no use."""
        context = ssl.create_default_context(cadata=self._cadata)
        context.check_hostname = False
        tls = context.wrap_bio(self._from_server, self._to_server, server_hostname="localhost")
        until = time.monotonic() + HANDSHAKE
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                return False
            else:
                self._tls = tls
                self._out += self._to_server.read()
                return True
            self._out += self._to_server.read()
            octets = self._turn(0.05)
            self._from_server.write(octets)
            if self.ended:
                return False
            if time.monotonic() > until:
                raise Broken(f"no TLS handshake within {HANDSHAKE} s")

    def close(self, abort: bool = False) -> None:
        """Go away: politely, or by a reset."""
        if abort:
            linger = struct.pack("ii", 1, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._socket.close()

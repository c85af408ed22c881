"""The transport of a client, which sends replies at once, not in another turn of the reactor."""

from __future__ import annotations

from collections.abc import Callable
from errno import EWOULDBLOCK
from socket import MSG_PEEK, socket
from typing import Any

from OpenSSL import SSL
from twisted.internet import tcp
from twisted.internet.interfaces import IHandshakeListener, IListeningPort
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST

from ..names.ip import parse_ip
from .prompt import send_promptly
from .tls_socket import RECORD, TlsSocket

_LOOK = 4096  # octets of a socket that are looked at
MOST_READ = 1 << 18  # octets of one read of content, so that it comes in few pieces


class ISocketTls(IHandshakeListener):
    """An object that begins TLS, and can do so on a socket."""

    def serverConnectionOver(socket: socket) -> SSL.Connection:
        """OpenSSL's side of a handshake, which reads and writes this socket."""


class PromptServer(tcp.Server):
    """Writes directly to the socket while nothing is buffered (see `prompt`).

    `most_read` is how many octets are read at once; Twisted uses the limit for octets that wait to
    be written. `measure`, if there is one, is shown the octets that wait in the socket, and says
    how many of them are to be read; the rest stays for the next reader, which may be OpenSSL.
    """

    most_read = 1 << 16
    measure: Callable[[bytes], int] | None = None

    def doRead(self) -> Any:
        """Called by Twisted when there is something to read."""
        client: Any = self.socket
        try:
            most = self.most_read
            if self.measure is not None:
                most = self.measure(client.recv(_LOOK, MSG_PEEK)) or 1
            octets = client.recv(most)
        except OSError as wrong:
            return _end_by(wrong)
        end = None
        if len(octets) == RECORD and type(client) is TlsSocket:
            octets, end = self._with_more(octets)
        return self._dataReceived(octets) or end

    def _with_more(self, record: bytes) -> tuple[bytes, Any]:
        """A full record and what waits after it; and the end of the connection, or None."""
        records = [record]
        while len(record) == RECORD and len(records) < self.most_read // RECORD:
            try:
                record = self.socket.recv(RECORD)
            except OSError as wrong:
                return b"".join(records), _end_by(wrong)
            if not record:
                return b"".join(records), CONNECTION_DONE
            records.append(record)
        return b"".join(records), None

    def write(self, data: bytes) -> None:
        """Send what the socket takes now; the rest, and errors, are left to Twisted."""
        rest = send_promptly(self, data)
        if rest:
            super().write(rest)  # type: ignore[no-untyped-call]

    def startTLS(self, ctx: Any, normal: bool = True) -> None:
        """Begin TLS on the socket if `ctx` can do that (ISocketTls), else as Twisted does."""
        # What has yet to be sent without TLS could only go in Twisted's way.
        if ISocketTls.providedBy(ctx) and normal and not (self.dataBuffer or self._tempDataLen):
            plain: Any = self.socket
            secured: Any = TlsSocket(plain, ctx.serverConnectionOver(plain), ctx.handshakeCompleted)
            self.socket = secured
        else:
            super().startTLS(ctx, normal)  # type: ignore[no-untyped-call]


def _end_by(wrong: OSError) -> Any:
    """How a failed read ends the connection; None if it goes on."""
    return None if wrong.errno == EWOULDBLOCK else CONNECTION_LOST


def make_prompt(port: IListeningPort) -> None:
    """Give the clients of this port such a transport, if it is a TCP port of Twisted's."""
    listening: Any = port
    if getattr(listening, "transport", None) is tcp.Server:
        listening.transport = PromptServer


def address_of(address: Any) -> str:
    """An IP address as text, without a zone, IPv4-mapped as IPv4; "unix" for a unix socket."""
    text = getattr(address, "host", None)
    if not isinstance(text, str):
        return "unix"
    return str(parse_ip(text)) if ":" in text else text

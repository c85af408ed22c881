"""Two ends of a TLS connection in memory, their handshake done: what a login is bound to."""

from __future__ import annotations

from OpenSSL import SSL

from ..wire.handshake import TlsChannel


def shaken(server: SSL.Connection, client: SSL.Connection) -> tuple[TlsChannel, TlsChannel]:
    """Let two connections over memory shake hands; the server's channel and the client's.

    SSL.Error if they cannot agree.
    """
    server.set_accept_state()
    client.set_connect_state()
    for _ in range(4):
        for one, other in ((client, server), (server, client)):
            try:
                one.do_handshake()
            except SSL.WantReadError:
                pass
            try:
                other.bio_write(one.bio_read(1 << 16))
            except SSL.WantReadError:
                pass
    return TlsChannel(server, is_server=True), TlsChannel(client, is_server=False)

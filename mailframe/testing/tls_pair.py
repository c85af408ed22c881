"""Two ends of a TLS connection in memory, after their handshake, for tests of channel bindings."""

from __future__ import annotations

from OpenSSL import SSL

from ..wire.handshake import TlsChannel


def shaken(server: SSL.Connection, client: SSL.Connection) -> tuple[TlsChannel, TlsChannel]:
    """Have two connections over memory do a handshake; returns the server's and the client's
    channel.

    SSL.Error if it fails.
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

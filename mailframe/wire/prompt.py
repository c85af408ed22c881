"""Sends octets at once, instead of in another turn of the reactor.

Twisted would buffer them, watch the socket, write in the next turn and stop watching. That is two
system calls and a turn for a few octets, which nearly always fit into the socket.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp


def send_promptly(connection: Any, octets: bytes) -> bytes:
    """Send what the socket of this `tcp.Connection` takes now; returns the octets that are left.

    Give those to Twisted's own `write`, which buffers them. Raises nothing; Twisted finds errors
    when it writes.
    """
    # With TLS they must be encrypted first, and what is buffered already goes first.
    prompt = connection.connected and not (connection.TLS or connection._writeDisconnected)
    if not (prompt and octets) or connection.dataBuffer or connection._tempDataLen:
        return octets
    try:
        sent = connection.socket.send(octets)
    except OSError:
        return octets
    return octets[sent:]


def write_promptly(transport: Any, octets: bytes) -> None:
    """Write to any transport: at once as far as possible.

    The rest, and errors, in Twisted's way.
    """
    if isinstance(transport, tcp.Connection):
        octets = send_promptly(transport, octets)
    if octets:
        transport.write(octets)

"""Octets that leave at once, not after another turn of the reactor.

Twisted would buffer them, watch the socket, write at the next turn and watch no more: two
system calls and a turn for a few octets, which nearly always fit.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp


def send_promptly(connection: Any, octets: bytes) -> bytes:
    """Send what the socket of this `tcp.Connection` takes now; the octets that are left.

    Those are for Twisted's own `write`, which buffers them as ever. Raises nothing: what goes
    wrong is found when Twisted writes.
    """
    # Under TLS they are to be encrypted first, and what is buffered already goes first.
    prompt = connection.connected and not (connection.TLS or connection._writeDisconnected)
    if not (prompt and octets) or connection.dataBuffer or connection._tempDataLen:
        return octets
    try:
        sent = connection.socket.send(octets)
    except OSError:
        return octets
    return octets[sent:]


def write_promptly(transport: Any, octets: bytes) -> None:
    """Write to any transport: at once what goes at once, the rest as ever, and so are errors."""
    if isinstance(transport, tcp.Connection):
        octets = send_promptly(transport, octets)
    if octets:
        transport.write(octets)

"""Octets that leave at once, not after another turn of the reactor."""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp


def write_promptly(transport: Any, octets: bytes) -> None:
    """Send what the socket takes now; the rest is buffered as ever, and so are errors.

    Twisted would buffer it all, watch the socket, write at the next turn and watch no more:
    a turn and two system calls for commands that nearly always fit.
    """
    # Under TLS they are to be encrypted first, and what is buffered already goes first.
    if (
        octets
        and isinstance(transport, tcp.Connection)
        and transport.connected
        and not (transport.TLS or transport._writeDisconnected)
        and not (transport.dataBuffer or transport._tempDataLen)
    ):
        try:
            sent = transport.socket.send(octets)
        except OSError:  # it comes again when Twisted writes, who knows what to do
            sent = 0
        if sent == len(octets):
            return
        octets = octets[sent:]
    transport.write(octets)

"""The transport of a client: replies leave at once, not after another turn of the reactor."""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IListeningPort


class PromptServer(tcp.Server):
    """Writes straight to the socket while nothing is buffered.

    A reply of a few octets nearly always fits. Twisted would buffer it, watch the socket,
    write at the next turn and watch no more: two system calls and a turn for each reply.
    """

    def write(self, data: bytes) -> None:
        """Send what the socket takes now; the rest is buffered as ever, and so are errors."""
        # Under TLS it is octets to encrypt; what is buffered already must go first.
        prompt = self.connected and not (self.TLS or self._writeDisconnected)
        if prompt and data and not (self.dataBuffer or self._tempDataLen):
            try:
                sent = self.socket.send(data)
            except OSError:  # it comes again when Twisted writes, who knows what to do
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        super().write(data)  # type: ignore[no-untyped-call]


def make_prompt(port: IListeningPort) -> None:
    """Let the clients of this port have such a transport, where it is a TCP port of Twisted's."""
    listening: Any = port
    if getattr(listening, "transport", None) is tcp.Server:
        listening.transport = PromptServer

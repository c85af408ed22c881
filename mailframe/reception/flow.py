"""How much is read of a client, and whether it reads what it is sent."""

from __future__ import annotations

from typing import Any

from ..wire.transport import MOST_READ

READ_AHEAD = 1 << 16  # octets that may wait unread in the dialogue before the client must wait


class Flow:
    """The octets between one client's transport and its session.

    `held` says that the client may not send now, `ended` that it sends nothing more, `reads_much`
    that the transport reads content in large pieces. `unread_since` is the reactor's time at which
    the client no longer read its replies, None while it does.
    """

    __slots__ = ("_transport", "ended", "held", "reads_much", "unread_since")

    def __init__(self, transport: Any, unread_replies: int) -> None:
        self._transport = transport
        # The transport pauses its producer when it holds more octets than this.
        transport.bufferSize = unread_replies
        self.ended = False
        self.held = False
        self.reads_much = False
        self.unread_since: float | None = None

    def read_much(self) -> None:
        """Content flows: let it come in few pieces."""
        self.reads_much, self._transport.most_read = True, MOST_READ

    def read_little(self) -> None:
        """Only content that flows is read in large pieces: what else comes may lie here."""
        self.reads_much, self._transport.most_read = False, READ_AHEAD

    def hold(self, buffered: int) -> None:
        """Let the client wait if it sends more than may lie here."""
        if buffered > READ_AHEAD and not self.held:
            self.held = True
            self._transport.pauseProducing()

    def let_go(self, buffered: int = 0) -> None:
        """Let the client send again, once no more lies here than may."""
        if self.held and buffered <= READ_AHEAD:
            self.held = False
            if self.ended:
                return  # it would be told of the end again
            self._transport.resumeProducing()

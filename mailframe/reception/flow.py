"""Controls how much is read from a client, and notes whether it reads its replies."""

from __future__ import annotations

from typing import Any

from ..wire.transport import MOST_READ

READ_AHEAD = 1 << 16  # octets that may wait in the dialogue; with more, the client must wait


class Flow:
    """The octets between one client's transport and its session.

    `held` is True while the client may not send, `ended` once it sends nothing more. `reads_much`
    is True while the transport reads content in large pieces. `unread_since` is the reactor's time
    since which the client has not read its replies; None if it reads them.
    """

    __slots__ = ("_transport", "ended", "held", "reads_much", "unread_since")

    def __init__(self, transport: Any, unread_replies: int) -> None:
        self._transport = transport
        # The transport pauses its producer if it holds more octets than this.
        transport.bufferSize = unread_replies
        self.ended = False
        self.held = False
        self.reads_much = False
        self.unread_since: float | None = None

    def read_much(self) -> None:
        """Read in large pieces, because content is coming."""
        self.reads_much, self._transport.most_read = True, MOST_READ

    def read_little(self) -> None:
        """Read in small pieces, because what comes now may have to wait in memory."""
        self.reads_much, self._transport.most_read = False, READ_AHEAD

    def hold(self, buffered: int) -> None:
        """Pause the client if it has sent more than may wait here."""
        if buffered > READ_AHEAD and not self.held:
            self.held = True
            self._transport.pauseProducing()

    def let_go(self, buffered: int = 0) -> None:
        """Let the client send again, once no more waits here than is allowed."""
        if self.held and buffered <= READ_AHEAD:
            self.held = False
            if self.ended:
                return  # the session would be told of the end again
            self._transport.resumeProducing()

"""The time limits for a client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..settings import Limits
from ..wire.listener import CLOSE_PATIENCE
from .phase import ABORT, CLOSE, CLOSING, HANDSHAKES, OPEN, Phase, Step

if TYPE_CHECKING:
    from .session import Session

BLOCK_TIME = 180.0  # seconds for the next block of content, RFC 5321 section 4.5.3.2.5
UNREAD_PATIENCE = 60.0  # seconds for a client to begin to read its waiting replies


class Patience:
    """Checks the time limits of one connection. It has no timer; its owner asks it from time to
    time.

    `since` is the reactor's time of the last event. The side whose turn it is has all of its time
    from then on. `brought` counts the octets that came as content.
    """

    __slots__ = (
        "_began",
        "_block_from",
        "_block_since",
        "_chunked",
        "_content",
        "_limits",
        "_looked",
        "brought",
        "since",
    )

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._began = self.since = self._looked = now
        self.brought = 0
        self._content: float | None = None  # when the content began that is being watched
        self._block_from = 0  # of `brought`
        self._block_since = now
        self._chunked = False

    def spent(
        self, now: float, phase: Phase, unread_since: float | None, session: Session | None
    ) -> Step | None:
        """What to do with a client that has taken too long: CLOSE, ABORT, or None.

        `unread_since` is the time since which its replies have not gone out; None if they do.
        """
        limits, waited = self._limits, now - self.since
        looked, self._looked = self._looked, now
        if phase is CLOSING:
            return ABORT if waited > CLOSE_PATIENCE else None
        if unread_since is not None:
            patience = min(UNREAD_PATIENCE, limits.command_timeout)
            return ABORT if now - unread_since > patience else None
        if phase in HANDSHAKES:
            return ABORT if waited > limits.tls_timeout else None
        if phase is not OPEN or session is None:
            self._block_since += now - looked  # this host takes the time, not the client
            return None
        in_content = session.dialogue.in_content
        turn = limits.data_timeout if in_content else limits.command_timeout
        if waited > turn or now - self._began > limits.session_timeout:
            return CLOSE
        # Also between two chunks.
        began = session.transaction.began if session.transaction is not None else None
        if began is None:
            return None
        trickles = self._trickles(now, began, in_content)
        return CLOSE if trickles or now - began > limits.data_total else None

    def _trickles(self, now: float, began: float, in_content: bool) -> bool:
        """True if the next block of content is overdue.

        RFC 5321 section 4.5.3.2.5 gives each block three minutes, and a single octet is not a
        block. Between two chunks the client also has the time for a command.
        """
        limits = self._limits
        patience = max(BLOCK_TIME, limits.data_timeout)
        if began != self._content:
            self._content, self._chunked = began, False
            self._block_from, self._block_since = self.brought, now
        self._chunked = self._chunked or not in_content
        if self.brought - self._block_from >= limits.data_rate * patience:
            self._block_from, self._block_since = self.brought, now
        if self._chunked:
            patience += limits.command_timeout
        return now - self._block_since > patience

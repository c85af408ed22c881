"""The time limits for a client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..settings import Limits
from ..wire.listener import CLOSE_PATIENCE
from .phase import ABORT, CLOSE, CLOSING, HANDSHAKES, OPEN, Phase, Step

if TYPE_CHECKING:
    from .session import Session

UNREAD_PATIENCE = 60.0  # seconds for a client to begin to read its waiting replies


class Patience:
    """Checks the time limits of one connection. It has no timer; its owner asks it from time to
    time.

    `since` is the reactor's time of the last event. The side whose turn it is has all of its time
    from then on.
    """

    __slots__ = ("_began", "_limits", "since")

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._began = self.since = now

    def spent(
        self, now: float, phase: Phase, unread_since: float | None, session: Session | None
    ) -> Step | None:
        """What to do with a client that has taken too long: CLOSE, ABORT, or None.

        `unread_since` is the time since which its replies have not gone out; None if they do.
        """
        limits, waited = self._limits, now - self.since
        if phase is CLOSING:
            return ABORT if waited > CLOSE_PATIENCE else None
        if unread_since is not None:
            patience = min(UNREAD_PATIENCE, limits.command_timeout)
            return ABORT if now - unread_since > patience else None
        if phase in HANDSHAKES:
            return ABORT if waited > limits.tls_timeout else None
        if phase is not OPEN or session is None:
            return None  # this host takes the time, not the client
        turn = limits.data_timeout if session.dialogue.in_content else limits.command_timeout
        if waited > turn or now - self._began > limits.session_timeout:
            return CLOSE
        # Also between two chunks.
        began = session.transaction.began if session.transaction is not None else None
        return CLOSE if began is not None and now - began > limits.data_total else None

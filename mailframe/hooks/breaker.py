"""The circuit breaker: a plugin that keeps failing is not asked for a while, then tried again."""

from __future__ import annotations

FAULTS_TO_OPEN = 5
FIRST_PAUSE = 10.0  # seconds
LONGEST_PAUSE = 600.0  # seconds


class Breaker:
    """Counts consecutive faults of one question to one plugin.

    After `faults_to_open` faults in a row it opens: `admits` returns False during a pause, which
    doubles from `first_pause` up to `longest_pause` (seconds). After the pause one question is
    let through as a probe. Its success closes the breaker, its fault opens it again.
    """

    __slots__ = (
        "_first_pause",
        "_longest_pause",
        "_pause",
        "_probed",
        "_to_open",
        "faults",
        "until",
    )

    def __init__(
        self,
        faults_to_open: int = FAULTS_TO_OPEN,
        first_pause: float = FIRST_PAUSE,
        longest_pause: float = LONGEST_PAUSE,
    ) -> None:
        self._to_open = faults_to_open
        self._first_pause = self._pause = first_pause
        self._longest_pause = longest_pause
        self._probed = False
        #: Consecutive faults so far.
        self.faults = 0
        #: When the pause ends, in the reactor's seconds; None while closed.
        self.until: float | None = None

    def admits(self, seconds: float) -> bool:
        """True if the plugin may be asked now. After a pause only one probe is let through."""
        if self.until is None:
            return True
        if seconds < self.until or self._probed:
            return False
        self._probed = True
        return True

    def succeeded(self) -> bool:
        """Note an answer. True if it closes an open breaker."""
        was_open = self.until is not None
        self.faults = 0
        self.until = None
        self._probed = False
        self._pause = self._first_pause
        return was_open

    def failed(self, seconds: float) -> float | None:
        """Note a fault. The pause in seconds if it opens the breaker (again), else None.

        Faults of questions that were asked before it opened do not prolong the pause.
        """
        self.faults += 1
        if self.until is not None and not self._probed:
            return None
        if self.until is None and self.faults < self._to_open:
            return None
        pause = self._pause
        self.until = seconds + pause
        self._probed = False
        self._pause = min(pause * 2, self._longest_pause)
        return pause

    def abandoned(self) -> None:
        """Nobody waits for the answer any more. If it was the probe, another one is allowed."""
        self._probed = False

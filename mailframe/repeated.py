"""FLOOR 2: logs repeated events once a minute, with the number of times that they happened.

With a full disk every message fails in the same way. The log of that must not fill another disk.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

SAY_EVERY = 60.0  # seconds
MOST_KINDS = 256

_MORE = "{format} (and {{unsaid}} more like it before this one)"
_OTHERS = object()  # the kind of everything beyond MOST_KINDS


class RepeatedLog:
    """Logs the first event of a kind; more of the kind within a minute are only counted.

    The next one after that minute is logged again, with that number as `unsaid`. A kind is a format
    together with a failure's type, unless the caller names it by `kind`. Beyond MOST_KINDS within a
    minute, all others are one kind. `seconds` is any clock; if it goes back, too much is logged
    rather than too little. Each method returns True if the event was logged.
    """

    def __init__(self, log: Logger, seconds: Callable[[], float]) -> None:
        self._log = log
        self._seconds = seconds
        self._kinds: dict[Hashable, tuple[float, int]] = {}  # when logged, how often not since

    def warn(self, format: str, *, kind: Hashable = None, **fields: Any) -> bool:
        """As Logger.warn."""
        return self._say(LogLevel.warn, format, kind or format, fields)

    def error(self, format: str, *, kind: Hashable = None, **fields: Any) -> bool:
        """As Logger.error."""
        return self._say(LogLevel.error, format, kind or format, fields)

    def failure(
        self,
        format: str,
        failure: Failure | None = None,
        *,
        kind: Hashable = None,
        **fields: Any,
    ) -> bool:
        """As Logger.failure, with its traceback; by default of the exception being handled."""
        failure = failure or Failure()  # type: ignore[no-untyped-call]
        fields["log_failure"] = failure
        return self._say(LogLevel.critical, format, kind or (format, failure.type), fields)

    def _say(self, level: Any, format: str, kind: Hashable, fields: dict[str, Any]) -> bool:
        now = self._seconds()
        if kind not in self._kinds and not self._has_room(now):
            kind = _OTHERS
        said, unsaid = self._kinds.get(kind, (float("-inf"), 0))
        if 0 <= now - said < SAY_EVERY:
            self._kinds[kind] = said, unsaid + 1
            return False
        self._kinds[kind] = now, 0
        if unsaid:
            format = _MORE.format(format=format)
        self._log.emit(level, format, unsaid=unsaid, **fields)
        return True

    def _has_room(self, now: float) -> bool:
        """True if one more kind can be remembered, after those of earlier minutes are forgotten."""
        if len(self._kinds) >= MOST_KINDS:
            self._kinds = {
                kind: (said, unsaid)
                for kind, (said, unsaid) in list(self._kinds.items())
                if 0 <= now - said < SAY_EVERY or kind is _OTHERS
            }
        return len(self._kinds) < MOST_KINDS

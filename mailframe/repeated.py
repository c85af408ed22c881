"""FLOOR 2: what would be logged over and over, logged once a minute with how often it came.

A full disk fails every message the same way. The log of it must not need a disk of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

SAY_EVERY = 60.0  # seconds
MOST_KINDS = 256

_MORE = "{format} (and {{unsaid}} more like it before this one)"
_OTHERS = object()  # the kind of all those that find no room


class RepeatedLog:
    """The first of a kind is logged whole; more of it within a minute are counted only.

    The next one after that minute is logged again, with that number as `unsaid`. A kind is a
    format, with a failure's type, or what the caller names as `kind`; of more than
    MOST_KINDS within a minute the rest is one kind. `seconds` is any clock; where it goes
    back, too much is said rather than too little. Each method returns whether it was logged.
    """

    def __init__(self, log: Logger, seconds: Callable[[], float]) -> None:
        self._log = log
        self._seconds = seconds
        self._kinds: dict[Hashable, tuple[float, int]] = {}  # when it was said, how often not

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
        """Whether one more kind may be remembered, once those of earlier minutes are not."""
        if len(self._kinds) >= MOST_KINDS:
            self._kinds = {
                kind: (said, unsaid)
                for kind, (said, unsaid) in list(self._kinds.items())
                if 0 <= now - said < SAY_EVERY or kind is _OTHERS
            }
        return len(self._kinds) < MOST_KINDS

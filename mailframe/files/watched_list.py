"""A list on disk that is doubted if it loses most of its entries.

A full disk, a failing script or an editor in the middle of its work can leave a list empty or cut
short. If that were believed at once, every mailbox would be unknown and queued mail would bounce.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sized
from pathlib import Path
from typing import TypeVar

from ..repeated import RepeatedLog
from .watched import InThread, WatchedFile, wrong_setting

T = TypeVar("T", bound=Sized)

SETTLED = 1.0  # seconds without a change after which a file written in place is complete
FEW = 4  # entries; a shorter list may lose some without being doubted
_MEANT = re.compile(r"^#\s*shortened\b", re.MULTILINE | re.IGNORECASE)


class WatchedList(WatchedFile[T]):
    """A watched file whose parsed value has a length.

    A new version is not believed if it is empty, or if a list of FEW entries or more has lost more
    than half of them. The last good one stays and `doubted` is True. That ends when the list is
    whole again, when it has the comment line `# shortened`, or when the host is restarted. A file
    that is written in place is read once it has not changed for SETTLED seconds; a file that
    replaces the old one by a rename is read at once.

    `now` is seconds since the epoch. `value()` never raises.
    """

    def __init__(
        self,
        path: Path,
        parse: Callable[[str], T],
        now: Callable[[], float],
        in_thread: InThread | None = None,
    ) -> None:
        self.doubted = False
        self._loud = RepeatedLog(self._log, now)
        super().__init__(path, parse, now, in_thread)

    def value(self) -> T:
        """The last good value."""
        value = super().value()
        if self.doubted:
            self._loud.error(
                "{where}: {problem}; the last good version stays",
                kind=self.path,
                where=str(self.path),
                problem=self._problem,
            )
        return value

    def _is_settled(self, seen: tuple[int, ...]) -> bool:
        if self._seen is None or seen[:2] != self._seen[:2]:
            return True
        modified = seen[3] / 1e9
        return not 0 <= self._now() - modified < SETTLED

    def _believed(self, text: str, value: T) -> T:
        before: T | None = getattr(self, "_value", None)  # None for the first version
        left, had = len(value), 0 if before is None else len(before)
        if before is not None and _is_cut(had, left) and not _MEANT.search(text):
            self.doubted = True
            self._problem = (
                f"{left} entries are left of {had}, which is doubted;"
                ' if it is meant, say so in it with a line "# shortened"'
            )
            return before
        self.doubted = False
        return value


def _is_cut(had: int, left: int) -> bool:
    return had > 0 and (left == 0 or (had >= FEW and left * 2 < had))


def watch_list(
    key: str,
    path: Path,
    parse: Callable[[str], T],
    now: Callable[[], float],
    in_thread: InThread | None = None,
) -> WatchedList[T]:
    """The list that the setting `key` names. SettingError, with the line, if it cannot be used."""
    with wrong_setting(key, path):
        return WatchedList(path, parse, now, in_thread)

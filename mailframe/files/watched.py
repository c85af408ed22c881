"""A file that is read again when it changes; a broken version is not used.

Lists of users, aliases and domains are edited while the host runs. A new version is used only if
all of it can be read; until then the last good version stays in use.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ..setting import SettingError

T = TypeVar("T")

#: Runs a blocking function in a thread.
InThread = Callable[..., Deferred[Any]]

LARGE = 1 << 16  # octets of a file that is read in a thread, if there is one
CHECK_EVERY = 1.0  # seconds between two looks at the file


class LineError(ValueError):
    """A line that cannot be parsed; raised by the parser of a file. `line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.message = message


class WatchedFile(Generic[T]):
    """The value that `parse` makes of the file's text (UTF-8), kept up to date.

    The file is read when the object is made: OSError if that fails, ValueError (LineError) if it
    cannot be parsed. After that `value()` looks at the file once a second at most. If a new version
    cannot be read or parsed, that is logged once, with its line, and the last good value stays.
    `now` gives seconds. Reading blocks, so files should have a few megabytes at most. With
    `in_thread`, new versions of a LARGE file are read and parsed there, and the last good value
    stays until that is done; call `value()` in the reactor's thread only.
    """

    _log = Logger()

    def __init__(
        self,
        path: Path,
        parse: Callable[[str], T],
        now: Callable[[], float] = time.monotonic,
        in_thread: InThread | None = None,
    ) -> None:
        self.path = path
        self._in_thread = in_thread
        self._is_reading = False  # in a thread
        self._parse = parse
        self._now = now
        self._looked = now()
        self._seen: tuple[int, ...] | None = self._signature()
        self._value = self._read()

    def value(self) -> T:
        """The last good value; never raises."""
        if self._is_reading or 0 <= self._now() - self._looked < CHECK_EVERY:
            return self._value
        self._looked = self._now()
        try:
            seen = self._signature()
        except OSError as failed:
            self._complain(None, str(self.path), failed.strerror or str(failed))
            self._seen = None
            return self._value
        if seen == self._seen or not self._is_settled(seen):
            return self._value
        if self._in_thread is None or seen[2] < LARGE:
            self._take(seen, self._read)
        else:
            self._is_reading = True
            reading = self._in_thread(self._load)
            reading.addCallbacks(
                lambda loaded: self._take(seen, lambda: self._believed(*loaded)),
                lambda failure: self._take(seen, failure.raiseException),
            ).addErrback(lambda failure: self._log.failure("a bug in reading", failure=failure))
        return self._value

    def _take(self, seen: tuple[int, ...], value: Callable[[], T]) -> None:
        """Use the value of this version of the file, if it can be read and parsed."""
        self._is_reading = False
        try:
            self._value = value()
        except LineError as wrong:
            self._complain(seen, f"{self.path}:{wrong.line}", wrong.message)
        except OSError as failed:
            self._complain(seen, str(self.path), failed.strerror or str(failed))
        except ValueError as wrong:
            self._complain(seen, str(self.path), str(wrong))
        self._seen = seen

    def _signature(self) -> tuple[int, ...]:
        """Values that differ between two versions of the file: its inode, size and times."""
        stat = self.path.stat()
        return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    def _is_settled(self, seen: tuple[int, ...]) -> bool:
        """False for a version that may not be complete yet; it is looked at again later."""
        return True

    def _read(self) -> T:
        return self._believed(*self._load())

    def _load(self) -> tuple[str, T]:
        text = self.path.read_text("utf-8-sig")
        return text, self._parse(text)

    def _believed(self, text: str, value: T) -> T:
        """The value to use, now that the file has this text, which was parsed as `value`."""
        return value

    def _complain(self, seen: tuple[int, ...] | None, where: str, problem: str) -> None:
        if seen is None and self._seen is None:
            return  # still unreadable, and logged already
        self._log.error(
            "{where}: {problem}; the last good version stays", where=where, problem=problem
        )


def watch_setting(
    key: str,
    path: Path,
    parse: Callable[[str], T],
    now: Callable[[], float] = time.monotonic,
) -> WatchedFile[T]:
    """The file that the setting `key` names. SettingError, with the line, if it cannot be used."""
    with wrong_setting(key, path):
        return WatchedFile(path, parse, now)


@contextmanager
def wrong_setting(key: str, path: Path) -> Iterator[None]:
    """Turns an error from reading a file into a SettingError of `key` that names the line."""
    try:
        yield
    except LineError as wrong:
        raise SettingError(key, f"{path}:{wrong.line}: {wrong.message}") from wrong
    except OSError as failed:
        raise SettingError(key, f"{path}: {failed.strerror or failed}") from failed
    except ValueError as wrong:
        raise SettingError(key, f"{path}: {wrong}") from wrong


def significant_lines(text: str) -> list[tuple[int, str]]:
    """The lines that are neither empty nor comments (#), with their numbers."""
    rows = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    return [(number, line) for number, line in rows if line and not line.startswith("#")]

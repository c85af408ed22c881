"""The files and folders that the host must read and write once it is an ordinary user.

Root can read everything, but the running host reads changed lists and renewed certificates as its
`user`, and writes as that user. `hindrances` finds what this process may not do, and
`hindrances_of` what another account may not do: it asks a child process that becomes that account.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from ..config import Composition, ConfigError, Section
from ..settings import HostSettings, MailboxSettings
from ..wire.certificates import CHAIN, KEY
from .privileges import Account, become

MOST_FOLDERS = 1000  # that are checked within a folder of mailboxes


Use = Literal["read", "write", "reach"]


@dataclass(frozen=True, slots=True)
class Needed:
    """A file or a folder that the host reads again, or writes to, while it runs.

    `section` is the section of the configuration, None for the host's own tables, and `key` is the
    setting that names the path. With the use "reach", the path need not exist yet, but the host
    must be able to enter the folders above it.
    """

    section: Section | None
    key: str
    path: Path
    use: Use = "read"

    def warning(self, composition: Composition, hindrance: str) -> ConfigError:
        """The warning that `mailframe check` and the start give."""
        place = composition if self.section is None else self.section
        user = composition.settings.user
        message = f"warning: {hindrance} by the user {user!r}"
        return place.error(self.key, message + _LEADS_TO[self.use])


_LEADS_TO: dict[Use, str] = {
    "read": ": what changes in it would never be seen",
    "write": "",
    "reach": "",
}


def needed_by_host(settings: HostSettings) -> Iterator[Needed]:
    """The paths that the host's own tables name. Blocks."""
    state = settings.state
    given = not state.exists() or state.stat().st_uid == 0  # then root will give it to the user
    yield Needed(None, "state", state, "reach" if given else "write")
    for number, listener in enumerate(settings.listen):
        if listener.client_ca is not None:
            yield Needed(None, f"listen.{number}.client_ca", listener.client_ca)
    if settings.tls is not None:
        place = settings.tls.certificates
        inside = sorted(place.glob("*/*.pem")) if place.is_dir() else []
        used = [path for path in inside if path.name in (CHAIN, KEY)]
        yield from (Needed(None, "tls.certificates", path) for path in (place, *used))


def needed_by_mailboxes(settings: MailboxSettings, folder: Path) -> Iterator[Needed]:
    """The files that `[mailboxes]` names, relative to `folder`."""
    for key in ("owners", "quotas", "users"):
        file = getattr(settings, key)
        if file is not None:
            yield Needed(None, f"mailboxes.{key}", folder / file)


def warnings_of(
    composition: Composition, needed: Sequence[Needed], found: Iterable[str]
) -> list[ConfigError]:
    """One warning for each setting with a hindrance. `found` has one text for each `needed`."""
    said: dict[tuple[str | None, str, Use], ConfigError] = {}
    for each, hindrance in zip(needed, found, strict=True):
        if hindrance:
            name = None if each.section is None else each.section.name
            where = name, each.key, each.use
            said.setdefault(where, each.warning(composition, hindrance))
    return list(said.values())


def hindrances(needed: Iterable[Needed]) -> list[str]:
    """For each of these, why this process may not use it; "" if it may. Blocks."""
    return [_HINDRANCE[each.use](each.path) for each in needed]


def hindrances_of(whom: Account | None, needed: Sequence[Needed]) -> list[str]:
    """The same for the account that the host will become. Blocks. May raise ChildProcessError.

    Only root can try the rights of another account. If this process is neither root nor that
    account, nothing is found.
    """
    if whom is None or os.geteuid() == whom.uid:
        return hindrances(needed)
    if os.geteuid() != 0:
        return [""] * len(needed)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _look_as(whom, needed, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        answer = said.read()
    os.waitpid(child, 0)
    if not answer:
        raise ChildProcessError(f"could not look as {whom.name}")
    found: list[str] = json.loads(answer)
    return found


def _look_as(whom: Account, needed: Sequence[Needed], writing: int) -> NoReturn:
    """Look for hindrances in the child process, and exit."""
    try:
        become(whom)
        with os.fdopen(writing, "wb") as answer:
            answer.write(json.dumps(hindrances(needed)).encode())
    finally:
        # The child must not repeat anything that the parent does, least of all at its exit.
        os._exit(0)


def _unreached(path: Path) -> str:
    closed = _closed_above(path)
    return "" if closed is None else f"{path} cannot be reached, as {closed} cannot be entered,"


def _unreadable(path: Path) -> str:
    if _unreached(path):
        return _unreached(path)
    if not _is_there(path):
        return ""
    # A folder must be listed and entered.
    wanted = os.R_OK | os.X_OK if os.access(path, os.F_OK) and path.is_dir() else os.R_OK
    return "" if os.access(path, wanted) else f"{path} cannot be read"


def _unwritable(path: Path) -> str:
    if _unreached(path):
        return _unreached(path)
    there = next(folder for folder in (path, *path.parents) if _is_there(folder))
    if os.access(there, os.W_OK) or (there == path and _has_own_folders(path)):
        return ""
    missing = "" if there == path else f"{path} is not there, and "
    return f"{missing}{there} cannot be written to"


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        return True  # behind a link
    return True


def _closed_above(path: Path) -> Path | None:
    """The first folder above the path that this process may not enter, None if there is none."""
    for folder in reversed(path.parents):
        if not _is_there(folder):
            return None
        if not os.access(folder, os.X_OK):
            return folder
    return None


def _has_own_folders(path: Path) -> bool:
    """True if a folder in it can be written to, such as that of a mailbox or a domain."""
    if not path.is_dir() or not os.access(path, os.R_OK):
        return False
    with os.scandir(path) as entries:
        for entry, _ in zip(entries, range(MOST_FOLDERS), strict=False):
            if entry.is_dir() and os.access(entry.path, os.W_OK):
                return True
    return False


_HINDRANCE: dict[Use, Callable[[Path], str]] = {
    "read": _unreadable,
    "write": _unwritable,
    "reach": _unreached,
}

"""Files that give values for single mailboxes, one in a line.

    alice@example.org: 5G        this mailbox
    bob: 2G                      bob's in every domain
    @shop.example: 1G            all others of this domain

They are read again when they change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from ..files.watched import LineError, WatchedFile, significant_lines, watch_setting
from ..names.domain_set import one_spelling
from ..names.local_parts import folded, parse_user
from ..smtp.address import Mailbox

T = TypeVar("T")

#: (folded local part, domain). The domain "" means every domain, the local part "" all others.
Name = tuple[str, str]

# A quoted local part and an IPv6 address may contain colons.
_LINE = re.compile(r'((?:"(?:[^"\\]|\\.)*"|\[[^\]]*\]|[^":\[])+):(.*)')


class PerMailbox(Generic[T]):
    """The values in the file at `path`; `value` parses the text after the colon, or raises
    ValueError.

    SettingError, with the setting's name `key` and the line, if the file is wrong at first. Later a
    wrong version is logged, and the last good one stays. `now` gives seconds.
    """

    def __init__(
        self,
        key: str,
        path: Path,
        value: Callable[[str], T],
        now: Callable[[], float],
        case_sensitive: bool = False,
    ) -> None:
        self._case_sensitive = case_sensitive
        self._file: WatchedFile[dict[Name, T]] = watch_setting(
            key, path, lambda text: parse(text, value, case_sensitive), now
        )

    def of(self, mailbox: Mailbox) -> T | None:
        """The value for this mailbox, its user or its domain; None if there is none."""
        values = self._file.value()
        local, domain = folded(mailbox.local, self._case_sensitive), _one_domain(mailbox.domain)
        for name in ((local, domain), (local, ""), ("", domain)):
            if name in values:
                return values[name]
        return None

    def all(self) -> list[T]:
        """All values in the file now."""
        return list(self._file.value().values())


def pairs(text: str) -> Iterator[tuple[int, str, str]]:
    """The lines `name: value` of a file, with their numbers. LineError for any other line."""
    for number, line in significant_lines(text):
        match = _LINE.fullmatch(re.split(r"\s#", line)[0])
        if match is None or not match[2].strip():
            raise LineError(number, "`name: value` is wanted")
        yield number, match[1].strip(), match[2].strip()


def parse(text: str, value: Callable[[str], T], case_sensitive: bool = False) -> dict[Name, T]:
    """The values of a file, by name.

    LineError for a wrong line, and for a name that is there twice.
    """
    found: dict[Name, T] = {}
    for number, name, said in pairs(text):
        key = _name(number, name, case_sensitive)
        if key in found:
            raise LineError(number, f"{name} is there twice")
        try:
            found[key] = value(said)
        except ValueError as wrong:
            raise LineError(number, f"{name}: {wrong}") from wrong
    return found


def _name(number: int, text: str, case_sensitive: bool) -> Name:
    try:
        if text.startswith("@"):
            return "", one_spelling(text[1:])
        user = parse_user(text)
        domain = one_spelling(user.domain) if user.domain else ""
    except ValueError as wrong:
        raise LineError(number, f"{text!r} is no user, address or @domain: {wrong}") from wrong
    return folded(user.local, case_sensitive), domain


def _one_domain(domain: str) -> str:
    """The domain in the spelling used for comparing; a text that is no domain stays as it is."""
    try:
        return one_spelling(domain) if domain else ""
    except ValueError:
        return domain

"""The extensions in a server's reply to EHLO or LHLO (RFC 5321 section 4.1.1.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

_KEYWORD = re.compile(r"[A-Z0-9][A-Z0-9-]*")
_NUMBER = re.compile(r"[0-9]{1,20}")
_SHORT = 2048  # characters; a longer reply is not remembered


@dataclass(frozen=True, slots=True)
class Extensions:
    """The service extensions that a server offers: keyword in capitals -> its parameters.

    `domain` is the server's name for itself, in lower case, "" if it gave none.
    """

    domain: str = ""
    offered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.offered

    @property
    def size(self) -> int:
        """Octets of the largest message (RFC 1870); 0 if no limit is known."""
        return _number(self.offered.get("SIZE", ()))

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms of AUTH, in capitals (RFC 4954 section 3)."""
        return tuple(word.upper() for word in self.offered.get("AUTH", ()))

    def limit(self, name: str) -> int:
        """The limit of that name (RFC 9422: "RCPTMAX", "MAILMAX"); 0 if there is none."""
        for word in self.offered.get("LIMITS", ()):
            key, _, value = word.partition("=")
            if key.upper() == name:
                return _number((value,))
        return 0


def read_extensions(lines: Iterable[str]) -> Extensions:
    """The extensions in the lines of a 250 to EHLO; other lines are ignored.

    The old spelling "AUTH=LOGIN PLAIN", which some servers still send, counts as AUTH.
    """
    said = tuple(lines)
    return _remembered(said) if sum(map(len, said)) <= _SHORT else _read(said)


def _read(lines: tuple[str, ...]) -> Extensions:
    domain, _, _ = lines[0].partition(" ") if lines else ("", "", "")
    offered: dict[str, tuple[str, ...]] = {}
    for line in lines[1:]:
        keyword, *parameters = line.replace("AUTH=", "AUTH ", 1).split() or [""]
        keyword = keyword.upper()
        if _KEYWORD.fullmatch(keyword):
            known = offered.get(keyword, ())
            offered[keyword] = known + tuple(word for word in parameters if word not in known)
    return Extensions(domain.lower(), offered)


#: Servers send the same again and again; the memory for strangers' texts is limited.
_remembered = lru_cache(maxsize=256)(_read)


def _number(words: tuple[str, ...]) -> int:
    return int(words[0]) if words and _NUMBER.fullmatch(words[0]) else 0

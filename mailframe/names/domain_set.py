"""The set of domains that a setting or a file names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from ..setting import SettingError
from ..smtp.address import AddressError, literal_address, parse_domain
from .domains import to_ascii


@lru_cache(maxsize=4096)
def one_spelling(domain: str) -> str:
    """The domain as it is compared: in lower-case A-labels; for a literal its plain address.

    Raises ValueError for a text that is neither a domain nor an address literal.
    """
    if domain.startswith("["):
        return f"[{literal_address(domain)}]"
    return to_ascii(parse_domain(domain.removesuffix(".")))


def member_spelling(name: str) -> str:
    """`one_spelling` of a name for a DomainSet, which keeps its leading dot. ValueError."""
    dot = "." if name.startswith(".") else ""
    try:
        return dot + one_spelling(name.removeprefix("."))
    except AddressError as wrong:
        raise ValueError(f"{name!r}: {wrong}") from wrong


class DomainSet:
    """Domains as they were named; ".example.org" stands for all subdomains of example.org.

    Case, U-labels or A-labels, and a trailing dot make no difference. Raises ValueError, with the
    name, for a text that is no domain.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = dict.fromkeys(member_spelling(name) for name in names)
        self._any_below = any(name.startswith(".") for name in self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        """Each member in its `member_spelling`, in the order in which they were named."""
        return iter(self._names)

    def __contains__(self, domain: str) -> bool:
        return self.which(domain) is not None

    @property
    def first(self) -> str | None:
        """The first member that is a full name; None if there is none."""
        return next((name for name in self._names if not name.startswith(".")), None)

    def which(self, domain: str) -> str | None:
        """The member that matches `domain`, in its `member_spelling`; None if none does.

        A full name comes before ".above", and a nearer parent before others.
        """
        try:
            name = one_spelling(domain)
        except ValueError:
            return None
        if name in self._names:
            return name
        if not self._any_below or name.startswith("["):
            return None
        while "." in name:
            name = name.partition(".")[2]
            if f".{name}" in self._names:
                return f".{name}"
        return None


def domains_setting(key: str, names: Iterable[str]) -> DomainSet:
    """The domains that the setting `key` names. SettingError for a text that is no domain."""
    try:
        return DomainSet(names)
    except ValueError as wrong:
        raise SettingError(key, str(wrong)) from wrong

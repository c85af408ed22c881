"""File names in a Maildir: unique names for new messages, and the sizes and flags in a name.

    1763840000.M123456P42Q7R5f3a.mx,S=1200,W=1240:2,FS
    unique, never changes                        ^ info: standing and flags

https://cr.yp.to/proto/maildir.html; S= and W= as Maildir++ and Dovecot write them.
"""

from __future__ import annotations

import itertools
import os
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

_SIZES = re.compile(r",([SW])=(\d{1,18})(?=,|\Z)")
_FLAGS = re.compile(r"2,([A-Za-z]*)")


@dataclass(frozen=True, slots=True)
class FileName:
    """The parts of one message's file name.

    `unique` is the part that stays when flags change; the sizes belong to it. `size` (S=) is the
    octets on disk, and `wire_size` (W=) the octets with CRLF line ends; None if the name does not
    say. `flags` are D(raft), F(lagged), P(assed), R(eplied), S(een) and T(rashed), and the folder's
    own keywords as small letters.
    """

    unique: str
    flags: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, name: str) -> FileName:
        """Parse any name.

        This never fails. Flags are taken only from an info part that begins with "2,".
        """
        unique, _, info = name.partition(":")
        match = _FLAGS.fullmatch(info)
        return cls(unique, frozenset(match.group(1)) if match else frozenset())

    @property
    def size(self) -> int | None:
        """Octets of the file, None if the name does not say."""
        return self._number("S")

    @property
    def wire_size(self) -> int | None:
        """Octets as POP3 and IMAP count them, every line ended by CRLF."""
        return self._number("W")

    def _number(self, letter: str) -> int | None:
        found = [int(digits) for key, digits in _SIZES.findall(self.unique) if key == letter]
        return found[-1] if found else None

    def with_flags(self, flags: Iterable[str]) -> FileName:
        """The same message with these flags instead. ValueError if one is not a letter."""
        chosen = frozenset(flags)
        if not all(len(flag) == 1 and flag.isascii() and flag.isalpha() for flag in chosen):
            raise ValueError("a flag in a Maildir is one ASCII letter")
        return replace(self, flags=chosen)

    def __str__(self) -> str:
        """The name in cur, with the flags in ASCII order, as the specification asks."""
        return f"{self.unique}:2,{''.join(sorted(self.flags))}"


@dataclass
class UniqueNames:
    """Makes names that no other delivery makes, on this host or on another.

    `now` gives seconds since the epoch. The random part makes names differ even if two processes
    have the same host name and process id, as in containers. Several threads may use it at once.
    """

    hostname: str
    now: Callable[[], float]
    _count: itertools.count[int] = field(default_factory=itertools.count, init=False)
    _chance: str = field(default_factory=lambda: secrets.token_hex(4), init=False)

    def __post_init__(self) -> None:
        host = self.hostname.replace("/", r"\057").replace(":", r"\072").replace(",", r"\054")
        self._host = host.replace("\0", "")[:120]

    def new(self) -> str:
        """A new name without sizes, for tmp."""
        seconds, micro = divmod(int(self.now() * 1e6), 1_000_000)
        sequence = next(self._count)
        return f"{seconds}.M{micro}P{os.getpid()}Q{sequence}R{self._chance}.{self._host}"


def unique_of(name: str) -> str:
    """The part of any name that stays when flags change: `FileName.parse(name).unique`, faster."""
    return name.partition(":")[0]


def with_sizes(unique: str, size: int, wire_size: int) -> str:
    """The name for new. With the sizes in it, readers need not open the file to know them."""
    return f"{unique},S={size},W={wire_size}"

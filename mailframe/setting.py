"""FLOOR 2: how settings are declared, and how a wrong one is refused."""

from __future__ import annotations

import re
from dataclasses import MISSING, field
from typing import Any, NewType

#: Seconds. The configuration takes numbers and texts such as "90s", "15m", "4h", "5d".
Duration = NewType("Duration", float)
#: Octets. The configuration takes numbers and texts such as "512K", "25M", "2G" (1024 each).
Size = NewType("Size", int)
#: Not to be shown. The configuration takes a text, { file = "..." } or { env = "..." }.
Secret = NewType("Secret", str)

_SIZE = re.compile(r"(\d+)([KMGT]?)")
_OCTETS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def setting(meaning: str, default: Any = MISSING, factory: Any = MISSING) -> Any:
    """A field of a settings dataclass; `mailframe check` and the docs show `meaning`.

    Types: str, int, float, bool, Path (relative to the configuration's folder), Duration, Size,
    Secret, Literal, Mailbox, tuples and dicts of these, other settings dataclasses, and `X | None`.
    A field without a default must be given.
    """
    return field(default=default, default_factory=factory, metadata={"meaning": meaning})


class SettingError(ValueError):
    """A value of the right form that cannot be used; raised by a plugin's `build`.

    `key` is the setting's name. The operator reads `file:line: key: message`.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key
        self.message = message


def parse_size(text: str) -> Size:
    """The octets of a text such as "512K", "25M", "2G" or "1000". ValueError for any other text."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no size such as 512K, 25M or 2G")
    return Size(int(match[1]) * _OCTETS[match[2]])

"""What filters find."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Finding:
    """What a filter found, without judging it: signals, and header fields to put on top.

    `headers` are unfolded or folded "Name: value" texts without the final line end.
    """

    signals: Mapping[str, str] = field(default_factory=dict)
    headers: tuple[str, ...] = ()

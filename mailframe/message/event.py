"""One decision, for observers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Event:
    """One decision, for observers: who decided what about which message, and how fast.

    `stage` is the hook's or the room's word ("relay", "route", "queue", "deliver", …),
    `plugin` its name or "", `verdict` a short word or reply, `milliseconds` what the asking
    took. `id` is the message's, "" before MAIL; `session` the session's, "" in the queue.
    `facts` are further fields for the log (sender, recipient, client, …).
    """

    time: float
    stage: str
    verdict: str
    plugin: str = ""
    id: str = ""
    session: str = ""
    milliseconds: float = 0.0
    facts: Mapping[str, object] = field(default_factory=dict)

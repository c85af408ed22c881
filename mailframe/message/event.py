"""One decision, for observers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Event:
    """One decision, for observers: which plugin decided what about which message, and how fast.

    `stage` and `verdict` are those of `vocabulary`, or a verdict that a plugin tells of its
    own, at its section's stage. A verdict may also be a reply ("550 5.7.1 …"). `plugin` is the
    plugin's name or "". `milliseconds` is how long the answer took. `id` is the message's, ""
    before MAIL; `session` is the session's, "" in the queue. `facts` are further fields for the
    log (sender, recipient, client, …).
    """

    time: float
    stage: str
    verdict: str
    plugin: str = ""
    id: str = ""
    session: str = ""
    milliseconds: float = 0.0
    facts: Mapping[str, object] = field(default_factory=dict)

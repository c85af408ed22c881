"""Where a served connection stands, and what may follow: one table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class ServedPhase(Enum):
    """From the first look at a client to the last."""

    ARRIVED = "arrived"  # the plugin has not heard of it
    WRAPPING = "wrapping"  # TLS from the first octet: its handshake
    OPEN = "open"  # the plugin's protocol talks
    SECURING = "securing"  # the protocol began TLS: its handshake
    CLOSING = "closing"  # the last word is said
    GONE = "gone"


ARRIVED, WRAPPING, OPEN = ServedPhase.ARRIVED, ServedPhase.WRAPPING, ServedPhase.OPEN
SECURING, CLOSING, GONE = ServedPhase.SECURING, ServedPhase.CLOSING, ServedPhase.GONE

HANDSHAKES = frozenset({WRAPPING, SECURING})

#: The phases that may follow; another one is a bug.
FOLLOWS: Mapping[ServedPhase, frozenset[ServedPhase]] = {
    ARRIVED: frozenset({WRAPPING, OPEN, CLOSING, GONE}),
    WRAPPING: frozenset({OPEN, CLOSING, GONE}),
    OPEN: frozenset({SECURING, CLOSING, GONE}),
    SECURING: frozenset({OPEN, CLOSING, GONE}),
    CLOSING: frozenset({GONE}),
    GONE: frozenset(),
}

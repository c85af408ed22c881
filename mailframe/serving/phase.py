"""The phases of a served connection and what may follow each, as one table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class ServedPhase(Enum):
    """The phases from the connection of a client to its end."""

    ARRIVED = "arrived"  # the plugin does not know of it yet
    WRAPPING = "wrapping"  # TLS from the first octet: the handshake
    OPEN = "open"  # the plugin's protocol and the client talk
    SECURING = "securing"  # the protocol began TLS: the handshake
    CLOSING = "closing"  # the last octets have been written
    GONE = "gone"


ARRIVED, WRAPPING, OPEN = ServedPhase.ARRIVED, ServedPhase.WRAPPING, ServedPhase.OPEN
SECURING, CLOSING, GONE = ServedPhase.SECURING, ServedPhase.CLOSING, ServedPhase.GONE

HANDSHAKES = frozenset({WRAPPING, SECURING})

#: The phases that may follow each; any other one is a bug.
FOLLOWS: Mapping[ServedPhase, frozenset[ServedPhase]] = {
    ARRIVED: frozenset({WRAPPING, OPEN, CLOSING, GONE}),
    WRAPPING: frozenset({OPEN, CLOSING, GONE}),
    OPEN: frozenset({SECURING, CLOSING, GONE}),
    SECURING: frozenset({OPEN, CLOSING, GONE}),
    CLOSING: frozenset({GONE}),
    GONE: frozenset(),
}

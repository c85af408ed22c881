"""Counts a plugin's faults by the recipient and the client that they are about.

A fault that one address or one client causes does not mean that the plugin is broken. A stranger
who knows such an address must not be able to stop everybody's mail with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from ..message import Client, Envelope, Message, Recipient
from ..wire.census import client_key
from .breaker import Breaker

T = TypeVar("T")

MOST = 200  # recipients and clients; further ones are not counted for themselves


def subjects(arguments: Sequence[Any]) -> list[str]:
    """Whom a question with these arguments is about: the recipient, then the client.

    An IPv6 client is its /64, which is one customer's.
    """
    found: list[str] = []
    for each in arguments[:2]:
        if isinstance(each, Recipient):
            found.insert(0, f"recipient {str(each.address).lower()}")
        elif isinstance(each, Message | Envelope | Client):
            envelope = each.envelope if isinstance(each, Message) else each
            client = envelope.client if isinstance(envelope, Envelope) else envelope
            found.append(f"client {client_key(client.address)}")
    return found


class Oddities(Generic[T]):
    """The recipients and clients about whom the last questions failed.

    Each has a breaker and its last fault. A fault counts for its recipient. The first fault about a
    recipient counts for its client instead, and the first of a client for everybody.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[Breaker, T]] = {}

    def fault(self, arguments: Sequence[Any], now: float) -> T | None:
        """The fault to answer with, without asking. None if the plugin is to be asked."""
        admitted: list[Breaker] = []
        for subject in subjects(arguments):
            breaker, fault = self._known.get(subject, (None, None))
            if breaker is None or breaker.until is None:
                continue
            if not breaker.admits(now):
                for each in admitted:
                    each.abandoned()
                return fault
            admitted.append(breaker)
        return None

    def failed(
        self, arguments: Sequence[Any], fault: T, now: float
    ) -> tuple[str, int, float | None] | None:
        """Count a fault: for whom, the number of their faults, and the pause.

        None if it counts for everybody. The pause is in seconds, None if there is none.
        """
        whose: tuple[str, int, float | None] | None = None
        for subject in subjects(arguments):
            breaker, _ = self._known.get(subject, (None, None))
            if whose is not None:
                if breaker is not None:
                    breaker.abandoned()
            elif breaker is not None:
                pause = breaker.failed(now)
                self._known[subject] = breaker, fault
                whose = subject, breaker.faults, pause
            elif len(self._known) < MOST:
                breaker = Breaker()
                breaker.failed(now)
                self._known[subject] = breaker, fault
        return whose

    def abandoned(self, arguments: Sequence[Any]) -> None:
        """Nobody waits for the answer any more. See `Breaker.abandoned`."""
        for subject in subjects(arguments):
            if subject in self._known:
                self._known[subject][0].abandoned()

    def clear(self) -> None:
        """The plugin has given a valid answer, so all counts start anew."""
        self._known.clear()

    def bypassed(self, now: float) -> tuple[str, int, float] | None:
        """Who is bypassed for the longest time: who, their faults, and the seconds left."""
        found = [
            (breaker.until - now, subject, breaker.faults)
            for subject, (breaker, _) in self._known.items()
            if breaker.until is not None
        ]
        left, subject, faults = max(found, default=(0.0, "", 0))
        return (subject, faults, max(0.0, left)) if subject else None

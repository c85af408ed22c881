"""Recipients and clients about whom a plugin fails, so that they do not have it bypassed for all.

What is odd about one address, or about all that one client sends, is no sign that the plugin is
broken; and a stranger who knows such an address must not be able to stop everybody's mail with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from ..message import Client, Envelope, Message, Recipient
from .breaker import Breaker

T = TypeVar("T")

MOST = 200  # remembered; the faults of others count for everybody


def subjects(arguments: Sequence[Any]) -> list[str]:
    """Whom a question with these arguments is about: the recipient, then the client."""
    found: list[str] = []
    for each in arguments[:2]:
        if isinstance(each, Recipient):
            found.insert(0, f"recipient {str(each.address).lower()}")
        elif isinstance(each, Message | Envelope | Client):
            envelope = each.envelope if isinstance(each, Message) else each
            client = envelope.client if isinstance(envelope, Envelope) else envelope
            found.append(f"client {client.address}")
    return found


class Oddities(Generic[T]):
    """Those about whom the last questions failed, each with a breaker and the last fault.

    A fault is one of its recipient's. The first about a recipient is its client's too, and the
    first of a client everybody's.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[Breaker, T]] = {}

    def fault(self, arguments: Sequence[Any], now: float) -> T | None:
        """What to answer without asking, because that failed too often; None: ask."""
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
        """Count a fault. None if it is everybody's; else whose it is, their faults, the pause.

        The pause is in seconds, None if they are asked about again.
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
        """Nobody waits for the answer any more. See Breaker."""
        for subject in subjects(arguments):
            if subject in self._known:
                self._known[subject][0].abandoned()

    def clear(self) -> None:
        """The plugin has answered: whatever was odd may be so no more."""
        self._known.clear()

    def bypassed(self, now: float) -> tuple[str, int, float] | None:
        """Who is not asked about for the longest time: who, the faults, and the seconds left."""
        found = [
            (breaker.until - now, subject, breaker.faults)
            for subject, (breaker, _) in self._known.items()
            if breaker.until is not None
        ]
        left, subject, faults = max(found, default=(0.0, "", 0))
        return (subject, faults, max(0.0, left)) if subject else None

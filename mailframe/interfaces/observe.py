"""`[[observe]]`: who sees every decision."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import Attribute, Interface

from ..eventual import Eventual
from ..message import Event


class IObserver(Interface):
    """`[[observe]]`: sees every decision."""

    wants = Attribute("""frozenset of Event.stage names that are of interest; None for all.""")

    def observe(event: Event) -> None:
        """Must return at once: what takes long is put aside for a thread. Result ignored."""


class ITrace(IObserver):
    """An observer that remembers: what `mailframe trace` asks."""

    def events(of: str, limit: int = 1000) -> Eventual[Sequence[Event]]:
        """The decisions about a message, about a session, or about an address's latest messages.

        `of` is the id of a message or of a session, or a mailbox that was sender or recipient;
        oldest first. Of a session, its messages are part until their end.
        """

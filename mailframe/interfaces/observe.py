"""`[[observe]]`: observers, which see every decision."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import Attribute, Interface

from ..eventual import Eventual
from ..message import Event


class IObserver(Interface):
    """`[[observe]]`: sees every decision."""

    wants = Attribute("""frozenset of Event.stage names that are of interest; None for all.""")

    def observe(event: Event) -> None:
        """Take an event. Must return at once: leave long work to a thread. Returns nothing."""


class ITrace(IObserver):
    """An observer that remembers events, so that `mailframe trace` can ask it."""

    def events(of: str, limit: int = 1000) -> Eventual[Sequence[Event]]:
        """The decisions about one message, one session, or the latest messages of an address.

        `of` is the id of a message or of a session, or a mailbox that was sender or recipient.
        Oldest first. The decisions about a session include those about its messages until their
        end.
        """

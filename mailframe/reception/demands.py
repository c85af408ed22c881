"""What filters want done with a message, apart from refusing it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..message import Envelope, Recipient, Without
from ..smtp.address import Mailbox

if TYPE_CHECKING:
    from ..hooks import Filtered


class Demands:
    """The demands of the filters at all stages. A refusal is not among them; it ends the
    transaction.

    The strictest wins: a discarded message goes nowhere, a quarantined one is held and marked, and
    a redirect takes effect once the message is released.
    """

    __slots__ = ("discard", "hold", "quarantine", "redirect", "without")

    def __init__(self) -> None:
        self.discard = False
        self.quarantine = ""
        self.hold = ""
        self.redirect: tuple[Mailbox, ...] = ()
        self.without: tuple[Without, ...] = ()

    def add(self, found: Filtered) -> None:
        """Add the demands of one stage; of several reasons the first is kept."""
        self.discard = self.discard or found.discard
        self.quarantine = self.quarantine or found.quarantine
        self.hold = self.hold or found.hold
        self.redirect = tuple(dict.fromkeys((*self.redirect, *found.redirect)))
        self.without = (*self.without, *found.without)

    def applied(self, envelope: Envelope) -> Envelope:
        """The envelope that goes into the queue."""
        if self.quarantine:
            signals = {**envelope.signals, "quarantine": self.quarantine}
            envelope = replace(envelope, signals=signals, held=self.quarantine)
        elif self.hold:
            envelope = replace(envelope, held=self.hold)
        if self.redirect:
            others = redirected(envelope.recipients, self.redirect)
            envelope = replace(envelope, recipients=tuple(others))
        return envelope


def redirected(recipients: Sequence[Recipient], addresses: Iterable[Mailbox]) -> list[Recipient]:
    """The recipients that replace these. They are recorded as coming from the first of these.

    An accepted message must not be lost in silence, so a failure is reported if the sender of one
    of these recipients wanted that or said nothing about it. A success is not reported: the sender
    asked about another recipient (RFC 3461 section 5.2.7.1).
    """
    first = recipients[0]
    way = (*first.came_from, first.address)
    wanted: frozenset[str] | None = frozenset()
    for recipient in recipients:
        if wanted is None or recipient.notify is None:
            wanted = None
        else:
            wanted |= recipient.notify - {"SUCCESS", "NEVER"}
    notify = wanted if wanted is None else wanted or frozenset({"NEVER"})
    return [Recipient(address, notify, came_from=way) for address in addresses]

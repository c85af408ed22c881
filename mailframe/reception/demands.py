"""What filters want done about a message besides letting it in or not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..message import Envelope, Recipient, Without
from ..smtp.address import Mailbox

if TYPE_CHECKING:
    from ..hooks import Filtered


class Demands:
    """Gathered from all stages. A refusal is none of these: it ends the transaction.

    The strictest comes first: what is discarded goes nowhere; what is quarantined is held, and
    says so; a redirect changes who gets it, once it may go.
    """

    __slots__ = ("discard", "hold", "quarantine", "redirect", "without")

    def __init__(self) -> None:
        self.discard = False
        self.quarantine = ""
        self.hold = ""
        self.redirect: tuple[Mailbox, ...] = ()
        self.without: tuple[Without, ...] = ()

    def add(self, found: Filtered) -> None:
        """Those of one stage; of reasons the first is kept."""
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
            first = envelope.recipients[0]
            others = tuple(redirected(first, self.redirect))
            envelope = replace(envelope, recipients=others)
        return envelope


def redirected(recipient: Recipient, addresses: tuple[Mailbox, ...]) -> list[Recipient]:
    """Others in this recipient's place; they are told nothing of their own to the sender.

    As with a list (RFC 3461 section 5.2.7.1), the sender asked about somebody else.
    """
    way = (*recipient.came_from, recipient.address)
    never = frozenset({"NEVER"})
    return [Recipient(address, never, came_from=way) for address in addresses]

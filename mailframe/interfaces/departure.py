"""`[[departure]]`: what is done to mail that leaves for another host."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import Interface

from ..eventual import Eventual
from ..message import Departure, Message, Route
from ..smtp.reply import Reply


class IDeparture(Interface):
    """`[[departure]]`: signs, seals, or rewrites the sender of mail that leaves.

    All are asked, in order, by delivery agents that hand mail to another host (`smtp`, and
    whatever agent calls `site.depart`), in each attempt at each next hop, once the host that will
    take it is known. If nobody speaks, the message leaves as it is.
    """

    def depart(message: Message, routes: Sequence[Route]) -> Eventual[Departure | Reply | None]:
        """A Departure changes the message, a negative Reply keeps it here, None leaves it alone.

        `message` is in the form in which it leaves, with what the hooks before have made of it: its
        octets are those that the next host reads (after a conversion to 7 bits if that host
        needs one), `envelope.body` and `envelope.smtputf8` say which form that is, and
        `envelope.sender` is the reverse-path, a list's owner included. `routes` share a next
        hop and a sender; each has its `recipient`. Opening content that is not at hand blocks:
        do it in a thread.

        A temporary Reply has the recipients tried again later, a permanent one fails them. A
        fault defers them, unless the section has `on_error = "skip"`: nothing leaves unsigned
        because a signer failed.
        """

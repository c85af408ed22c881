"""`[[departure]]`: what is done to mail that leaves for another host."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import Interface

from ..eventual import Eventual
from ..message import Departure, Message, Route
from ..smtp.reply import Reply


class IDeparture(Interface):
    """`[[departure]]`: signs or seals mail that leaves, or rewrites its sender.

    All hooks are asked, in order, by delivery agents that hand mail to another host (`smtp`, and
    any other agent that calls `site.depart`). They are asked in each attempt at each next hop, once
    the host that will take the message is known. If no hook has an opinion, the message leaves as
    it is.
    """

    def depart(message: Message, routes: Sequence[Route]) -> Eventual[Departure | Reply | None]:
        """A Departure changes the message, a negative Reply keeps it here, None has no opinion.

        `message` is in the form in which it leaves, with the changes of the hooks before. Its
        octets are those that the next host reads, converted to 7 bits if that host needs it;
        `envelope.body` and `envelope.smtputf8` say which form that is. `envelope.sender` is the
        reverse-path, which may be a list's owner. `routes` share a next hop and a sender; each has
        its `recipient`. Opening content that is not at hand blocks, so do it in a thread.

        With a temporary Reply the recipients are tried again later, with a permanent one they fail.
        A fault defers them, unless the section has `on_error = "skip"`: nothing leaves unsigned
        because a signer failed.
        """

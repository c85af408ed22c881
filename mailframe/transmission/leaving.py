"""The form of a message that a server takes, with the changes of departure hooks to that form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from ..eventual import Eventual, settled
from ..message import Departed, Message, Route
from ..smtp.address import Mailbox
from ..smtp.command import Body
from ..smtp.extensions import Extensions
from ..smtp.reply import Reply
from .form import Form, Forms, KeptHere

#: Asks departure hooks to change a message for these routes; see `mailframe.plugin.Site`.
Depart: TypeAlias = Callable[[Message, Sequence[Route]], Eventual[Departed | Reply]]


class Leaving:
    """The forms of a message after its departure hooks, which are asked once for each form.

    `sender` is the reverse-path of all `routes`, which share a next hop.
    """

    def __init__(
        self, forms: Forms, sender: Mailbox | None, routes: Sequence[Route], depart: Depart
    ) -> None:
        self.message = forms.message
        self.in_thread = forms.in_thread
        self._forms = forms
        self._sender = sender
        self._routes = routes
        self._depart = depart
        self._departed: dict[tuple[Body, bool, bool], Departed | Reply] = {}

    async def form(self, extensions: Extensions) -> Form | KeptHere | Reply:
        """See Forms; KeptHere if a hook keeps the message. Raises OSError like Forms."""
        form = await self._forms.form(extensions)
        if isinstance(form, Reply):
            return form
        departed = await self._after_hooks(form, "SMTPUTF8" in extensions)
        if isinstance(departed, Reply):
            return KeptHere(departed)
        return form._replace(content=departed.message.content, senders=departed.senders)

    async def _after_hooks(self, form: Form, takes_utf8: bool) -> Departed | Reply:
        as_stored = form.content is self.message.content
        key = (form.body, as_stored, takes_utf8)
        departed = self._departed.get(key)
        if departed is None:
            leaving = self._as_it_leaves(form, takes_utf8)
            departed = self._departed[key] = await settled(self._depart(leaving, self._routes))
        return departed

    def _as_it_leaves(self, form: Form, takes_utf8: bool) -> Message:
        envelope = self.message.envelope
        smtputf8 = envelope.smtputf8 and takes_utf8
        if (form.body, smtputf8, self._sender) != (
            envelope.body,
            envelope.smtputf8,
            envelope.sender,
        ):
            envelope = replace(envelope, body=form.body, smtputf8=smtputf8, sender=self._sender)
        elif form.content is self.message.content:
            return self.message
        return Message(self.message.id, envelope, form.content)

"""What a connection asks of its listener: who may come in, and who may speak for others."""

from __future__ import annotations

from ..message import Client
from ..names.ip import NetworkSet
from ..smtp.reply import SHUTTING_DOWN, TOO_MANY_CONNECTIONS, Reply
from ..wire.listener import ListenerFactory, NotAdmitted, TimedSession
from .shared import Shared

_REFUSALS = {
    NotAdmitted.STOPPING: SHUTTING_DOWN,
    NotAdmitted.TOO_MANY: TOO_MANY_CONNECTIONS,
}


class SmtpEntrance(ListenerFactory):
    """The way in at one `[[listen]]`, but for what is spoken there.

    ValueError as ListenerFactory.
    """

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared.listener, shared.limits, shared.certificates, shared.reactor)
        self.shared = shared
        self._xclient = NetworkSet(shared.listener.xclient)

    def no_header(self, proxy: str, why: str) -> None:
        """See ListenerFactory; observers are told as well."""
        super().no_header(proxy, why)
        self.shared.hooks.tell("session", "no PROXY header", client=proxy, why=why)

    def may_speak_for_others(self, client: Client) -> bool | None:
        """Whether this client may say XCLIENT; None: nobody may here."""
        return client.address in self._xclient if self._xclient else None

    def refusal_of(self, session: TimedSession, client: Client) -> Reply | None:
        """Count the client; the refusal if there are too many, or at the end."""
        why = self.admit(session, client.address)
        if why is None:
            return None
        refusal, hooks = _REFUSALS[why], self.shared.hooks
        if why is NotAdmitted.TOO_MANY and hooks.observers:
            hooks.tell("session", str(refusal), session=client.session, client=client.address)
        return refusal

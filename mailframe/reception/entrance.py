"""What a connection needs of its listener: which clients are accepted, which may use XCLIENT."""

from __future__ import annotations

from ..message import Client
from ..message.vocabulary import Stage, Verdict
from ..names.ip import NetworkSet
from ..smtp.reply import SHUTTING_DOWN, TOO_MANY_CONNECTIONS, Reply
from ..wire.listener import ListenerFactory, NotAdmitted, TimedSession
from .shared import Shared

_REFUSALS = {
    NotAdmitted.STOPPING: SHUTTING_DOWN,
    NotAdmitted.TOO_MANY: TOO_MANY_CONNECTIONS,
}


class SmtpEntrance(ListenerFactory):
    """The factory of one `[[listen]]`, except for the protocol that is spoken.

    ValueError as ListenerFactory.
    """

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared.listener, shared.limits, shared.certificates, shared.reactor)
        self.shared = shared
        self._xclient = NetworkSet(shared.listener.xclient)

    def no_header(self, proxy: str, why: str) -> None:
        """See ListenerFactory; observers are told as well."""
        super().no_header(proxy, why)
        self.shared.hooks.tell(Stage.SESSION, Verdict.NO_PROXY_HEADER, client=proxy, why=why)

    def may_speak_for_others(self, client: Client) -> bool | None:
        """True if this client may use XCLIENT; None if no client of this listener may."""
        return client.address in self._xclient if self._xclient else None

    def refusal_of(self, session: TimedSession, client: Client) -> Reply | None:
        """Count the client; a refusal if there are too many clients, or if the host is stopping."""
        why = self.admit(session, client.address)
        if why is None:
            return None
        refusal, hooks = _REFUSALS[why], self.shared.hooks
        if why is NotAdmitted.TOO_MANY and hooks.observers:
            hooks.tell(Stage.SESSION, refusal, session=client.session, client=client.address)
        return refusal

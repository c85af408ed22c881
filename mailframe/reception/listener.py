"""One listener of SMTP or LMTP: makes a connection of each client."""

from __future__ import annotations

from twisted.internet.interfaces import IAddress

from ..message import Client
from ..smtp.reply import SHUTTING_DOWN, TOO_MANY_CONNECTIONS, Reply
from ..wire.listener import ListenerFactory, NotAdmitted
from .connection import Connection
from .shared import Shared

_REFUSALS = {
    NotAdmitted.STOPPING: SHUTTING_DOWN,
    NotAdmitted.TOO_MANY: TOO_MANY_CONNECTIONS,
}


class Reception(ListenerFactory):
    """The way in at one `[[listen]]`.

    When it stops no command is begun any more: idle clients read 421 now, others after the
    running one. Content that is under way may be finished and is committed. ValueError if the
    listener needs certificates and there are none.
    """

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared.listener, shared.limits, shared.certificates, shared.reactor)
        self.shared = shared

    def buildProtocol(self, addr: IAddress | None) -> Connection:
        """Twisted: a client connects."""
        return Connection(self)

    def refusal_of(self, connection: Connection, client: Client) -> Reply | None:
        """Count the client; the refusal if there are too many, or at the end."""
        why = self.admit(connection, client.address)
        if why is None:
            return None
        refusal, hooks = _REFUSALS[why], self.shared.hooks
        if why is NotAdmitted.TOO_MANY and hooks.observers:
            hooks.tell("session", str(refusal), session=client.session, client=client.address)
        return refusal

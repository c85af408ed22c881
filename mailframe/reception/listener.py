"""One listener of SMTP or LMTP: makes a connection of each client."""

from __future__ import annotations

from ..wire.peer import Peer
from .connection import Connection
from .entrance import SmtpEntrance


class Reception(SmtpEntrance):
    """The way in at one `[[listen]]`.

    When it stops no command is begun any more: idle clients read 421 now, others after the
    running one. Content that is under way may be finished and is committed. ValueError if the
    listener needs certificates and there are none, or a network is none.
    """

    def client_protocol(self, peer: Peer | None) -> Connection:
        """See ListenerFactory."""
        return Connection(self, peer)

"""One listener of SMTP or LMTP: makes a connection for each client."""

from __future__ import annotations

from ..wire.peer import Peer
from .connection import Connection
from .entrance import SmtpEntrance


class Reception(SmtpEntrance):
    """The factory of one `[[listen]]`.

    When it stops, no more commands are begun. Idle clients read 421 at once, and the others after
    the command under way. Content that is under way may be finished and is committed. ValueError if
    the listener needs certificates and there are none, or if a network is not one.
    """

    def client_protocol(self, peer: Peer | None) -> Connection:
        """See ListenerFactory."""
        return Connection(self, peer)

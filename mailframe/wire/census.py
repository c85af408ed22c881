"""Counts the sessions of a listener, in all and for each client."""

from __future__ import annotations

from ..names.ip import customer_of, parse_ip


def client_key(address: str) -> str:
    """What counts as one client; "unix" and "unknown" are one client each."""
    return customer_of(parse_ip(address)) if ":" in address else address


class Census:
    """Counts sessions; a client beyond a limit is not admitted and not counted.

    Peers at a unix socket ("unix") are one client without a limit. Nothing is remembered of clients
    that have left.
    """

    def __init__(self, total: int, per_client: int) -> None:
        self._total = total
        self._per_client = per_client
        self._clients: dict[str, int] = {}
        self.sessions = 0

    def admit(self, address: str) -> bool:
        """Count one more session of this client; False if there are too many."""
        key = client_key(address)
        here = self._clients.get(key, 0)
        if self.sessions >= self._total:
            return False
        if here >= self._per_client and address != "unix":
            return False
        self._clients[key] = here + 1
        self.sessions += 1
        return True

    def leave(self, address: str) -> None:
        """A session that was admitted has ended."""
        key = client_key(address)
        here = self._clients[key]
        if here == 1:
            del self._clients[key]
        else:
            self._clients[key] = here - 1
        self.sessions -= 1

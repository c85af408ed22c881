"""Counts failed logins across sessions and protocols. After too many, a client has to wait.

All listeners of a process share one bounded table of recent failures. It counts them by client (an
IPv4 address, an IPv6 /64), by user, and by both together. Failures expire one after the other.

A user is known at a client from which it has logged in. There only its own failures count, so that
it cannot be locked out by strangers who try its name elsewhere, or by its neighbours.
"""

from __future__ import annotations

import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

from twisted.logger import Logger
from zope.interface import implementer

from ..interfaces import IInspected
from ..names.ip import NetworkSet
from ..repeated import RepeatedLog
from ..settings import LoginSettings
from ..wire.census import client_key

MOST_KEPT = 10_000  # clients, users, and pairs of both; the oldest are dropped first
KNOWN_FOR = 7 * 86400.0  # seconds since a user's last login from a client
MOST_OF_NAME = 255  # characters that tell users apart here
FREE = 3  # failures that do not slow down later refusals
SLOWEST = 8  # a refusal takes at most so many times as long as the first one

_NOBODY = frozenset({"unix", "unknown", ""})  # addresses that many clients share

K = TypeVar("K", bound=Hashable)


@implementer(IInspected)
class Guesses:
    """Counts failed logins. `seconds` is any clock that goes forward."""

    _log = Logger()

    def __init__(self, settings: LoginSettings, seconds: Callable[[], float]) -> None:
        clients, users, period = (
            settings.failures_per_client,
            settings.failures_per_user,
            settings.period,
        )
        self._seconds = seconds
        self._exempt = NetworkSet(settings.exempt)
        self._clients: Failures[str] = Failures(clients, period, seconds)
        self._users: Failures[str] = Failures(users, period, seconds)
        self._pairs: Failures[tuple[str, str]] = Failures(users, period, seconds)
        self._known: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._repeated = RepeatedLog(self._log, seconds)

    def must_wait(self, address: str, user: str) -> bool:
        """True if this login must not be checked now.

        `address` is the client's, as text. `user` is as the client said it, or "".
        """
        client, user = self._client(address), _one_spelling(user)
        if user and self._is_known(client, user):
            return self._pairs.is_full((client, user))
        if client and self._clients.is_full(client):
            self._repeated.warn(
                "logins from {client} are put off, whoever the user: too many have failed",
                client=client,
            )
            return True
        if user and self._users.is_full(user):
            self._repeated.warn(
                "logins as {user} from clients new to it are put off: too many have failed",
                user=user,
            )
            return True
        return False

    def failed(self, address: str, user: str) -> None:
        """Note a failed login."""
        client, user = self._client(address), _one_spelling(user)
        if client:
            self._clients.add(client)
        if user:
            self._pairs.add((client, user))
            if not self._is_known(client, user):
                self._users.add(user)

    def succeeded(self, address: str, user: str) -> None:
        """Note a login, and forget the user's own failures at this client.

        The client's failures with other names are kept: it may have one account and try to get
        into another.
        """
        client, user = self._client(address), _one_spelling(user)
        if not user:
            return
        own = self._pairs.forget((client, user))
        if client:
            self._clients.take(client, own)
        self._users.forget(user)
        self._known[client, user] = self._seconds()
        self._known.move_to_end((client, user))
        if len(self._known) > MOST_KEPT:
            self._known.popitem(last=False)

    def slowness(self, address: str, user: str) -> int:
        """How long the next refusal takes, as a multiple of the first one."""
        client, user = self._client(address), _one_spelling(user)
        failures = max(self._clients.count(client), self._pairs.count((client, user)))
        doublings = max(0, round(failures) - FREE)
        return min(SLOWEST, 1 << doublings)

    def state(self) -> Iterator[dict[str, object]]:
        """One row: how many clients and users have failed recently, and how many must wait."""
        yield {
            "clients": len(self._clients),
            "clients_waiting": self._clients.full(),
            "users": len(self._users),
            "users_waiting": self._users.full(),
        }

    def _client(self, address: str) -> str:
        return "" if address in _NOBODY or address in self._exempt else client_key(address)

    def _is_known(self, client: str, user: str) -> bool:
        since = self._known.get((client, user))
        return since is not None and self._seconds() - since < KNOWN_FOR


class Failures(Generic[K]):
    """How often each key has failed: `most` failures are allowed within `period` seconds."""

    def __init__(self, most: int, period: float, seconds: Callable[[], float]) -> None:
        self._most = most
        self._period = period
        self._seconds = seconds
        self._counts: OrderedDict[K, tuple[float, float]] = OrderedDict()  # how many, when

    def __len__(self) -> int:
        return len(self._counts)

    def count(self, key: K) -> float:
        """How many failures have not expired yet."""
        count, at = self._counts.get(key, (0.0, 0.0))
        return max(0.0, count - (self._seconds() - at) * self._most / self._period)

    def is_full(self, key: K) -> bool:
        """True if one more failure is too many."""
        return self.count(key) > self._most - 1

    def full(self) -> int:
        """How many keys have failed too often."""
        return sum(map(self.is_full, self._counts))

    def add(self, key: K) -> None:
        """Add one failure. Failures of several connections at once count up to twice `most`."""
        self._put(key, min(self.count(key) + 1, 2 * self._most))

    def take(self, key: K, count: float) -> None:
        """Take so many failures off."""
        self._put(key, self.count(key) - count)

    def forget(self, key: K) -> float:
        """Forget all failures of this key, and return how many there were."""
        count = self.count(key)
        self._counts.pop(key, None)
        return count

    def _put(self, key: K, count: float) -> None:
        if count <= 0:
            self._counts.pop(key, None)
            return
        now = self._seconds()
        self._counts[key] = count, now
        self._counts.move_to_end(key)
        oldest = next(iter(self._counts))
        if len(self._counts) > MOST_KEPT or now - self._counts[oldest][1] > 2 * self._period:
            del self._counts[oldest]


def _one_spelling(user: str) -> str:
    return unicodedata.normalize("NFKC", user[:MOST_OF_NAME]).casefold()

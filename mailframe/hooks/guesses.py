"""Failed logins, counted across sessions and protocols: who has guessed too often has to wait.

One table for all listeners of a process, bounded, of what has failed lately: by client (an IPv4
address, an IPv6 /64), by user, and by both together. Failures are forgiven one after the other.

A user is known at a client from which it has logged in: there its own failures alone count, so
that neither strangers who try its name elsewhere nor its neighbours can lock it out.
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

MOST_KEPT = 10_000  # clients, users, and pairs of both: the oldest go first
KNOWN_FOR = 7 * 86400.0  # seconds since a user's last login from a client
MOST_OF_NAME = 255  # characters that tell users apart here
FREE = 3  # failures that make nobody slower
SLOWEST = 8  # times as long as the first refusal

_NOBODY = frozenset({"unix", "unknown", ""})  # addresses that are many clients'

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
        """Whether this login is not to be looked at now; `user` is as the client said it, or "".

        `address` is the client's, as text.
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
        """A login has failed."""
        client, user = self._client(address), _one_spelling(user)
        if client:
            self._clients.add(client)
        if user:
            self._pairs.add((client, user))
            if not self._is_known(client, user):
                self._users.add(user)

    def succeeded(self, address: str, user: str) -> None:
        """The user has logged in: what it did wrong itself is forgotten.

        What the client did as others is not: it may have one account and want another.
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
        """How many times as long as the first one the next refusal takes."""
        client, user = self._client(address), _one_spelling(user)
        failures = max(self._clients.count(client), self._pairs.count((client, user)))
        doublings = max(0, round(failures) - FREE)
        return min(SLOWEST, 1 << doublings)

    def state(self) -> Iterator[dict[str, object]]:
        """One row: how many clients and users have failed lately, and have to wait."""
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
    """How often each has failed, less what was forgiven since: `most` within `period` seconds."""

    def __init__(self, most: int, period: float, seconds: Callable[[], float]) -> None:
        self._most = most
        self._period = period
        self._seconds = seconds
        self._counts: OrderedDict[K, tuple[float, float]] = OrderedDict()  # how many, when

    def __len__(self) -> int:
        return len(self._counts)

    def count(self, key: K) -> float:
        """How many are not forgiven yet."""
        count, at = self._counts.get(key, (0.0, 0.0))
        return max(0.0, count - (self._seconds() - at) * self._most / self._period)

    def is_full(self, key: K) -> bool:
        """Whether there is no room for one more."""
        return self.count(key) > self._most - 1

    def full(self) -> int:
        """How many there is no room for."""
        return sum(map(self.is_full, self._counts))

    def add(self, key: K) -> None:
        """One more. What several connections did at once counts twice the most at most."""
        self._put(key, min(self.count(key) + 1, 2 * self._most))

    def take(self, key: K, count: float) -> None:
        """So many less."""
        self._put(key, self.count(key) - count)

    def forget(self, key: K) -> float:
        """All of it; how many that were."""
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

"""The refusals of the server dialogue itself: of what is out of order or not offered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from .command import Auth, Command, Mechanisms, Pass, Stls, User, Utf8
from .event import Event
from .offer import Offer
from .order import ORDER, State
from .reply import UNKNOWN_COMMAND, Reply, err

LOG_IN_FIRST = err("Log in first")
USER_FIRST = err("Send USER first")
ALREADY_LOGGED_IN = err("Already logged in")
USER_NOT_OFFERED = err("USER is not offered now")
USER_NEEDS_TLS = err("Send STLS first: passwords are not taken in the clear")
AUTH_NOT_OFFERED = err("AUTH is not offered now")
UNKNOWN_MECHANISM = err("Authentication mechanism not offered")
AUTH_CANCELLED = err("Authentication cancelled")
TLS_NOT_OFFERED = err("STLS is not offered now")


class Standing(Protocol):
    """What a check looks at: the state of the dialogue, and what is offered."""

    offer: Offer
    state: State


def refusal(standing: Standing, command: Command) -> Reply | None:
    """The reason why this command cannot be accepted now; None if it can."""
    kind = type(command)
    if kind not in ORDER[standing.state]:
        if standing.state is State.TRANSACTION:
            return ALREADY_LOGGED_IN
        return USER_FIRST if kind is Pass else LOG_IN_FIRST
    check = _CHECKS.get(kind)
    return None if check is None else check(standing.offer, command)


def _check_user(offer: Offer, _command: User) -> Reply | None:
    if offer.user:
        return None
    return USER_NEEDS_TLS if offer.stls else USER_NOT_OFFERED


def _check_auth(offer: Offer, command: Auth) -> Reply | None:
    if not offer.auth:
        return AUTH_NOT_OFFERED
    return None if command.mechanism in offer.auth else UNKNOWN_MECHANISM


#: Checked once a command is known to be in order.
_CHECKS: Mapping[type[Event], Callable[[Offer, Any], Reply | None]] = {
    User: _check_user,
    Auth: _check_auth,
    Mechanisms: lambda offer, command: None if offer.auth else AUTH_NOT_OFFERED,
    Stls: lambda offer, command: None if offer.stls else TLS_NOT_OFFERED,
    Utf8: lambda offer, command: None if offer.utf8 else UNKNOWN_COMMAND,
}

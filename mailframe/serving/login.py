"""Logging in on a served connection, which knows afterwards who its client is."""

from __future__ import annotations

from collections.abc import Callable

from ..hooks import Login, LoginStep
from ..sasl import Success


class ServedLogin:
    """One exchange (`mailframe.hooks.Login`); `known(user)` is called when it succeeds."""

    __slots__ = ("_known", "_login")

    def __init__(self, login: Login, known: Callable[[str], None]) -> None:
        self._login = login
        self._known = known

    async def step(self, response: bytes | None) -> LoginStep:
        """What follows the client's response, decoded; None first if it began without one.

        A Challenge is to be sent and answered; after a Success, a Refusal or a Fault the
        exchange is over.
        """
        step = await self._login.step(response)
        if isinstance(step, Success):
            # Whoever may act for another has that one's rights (RFC 4422 section 2).
            self._known(step.authzid or step.user)
        return step

    def hurry(self) -> None:
        """Nobody waits for the answer any more."""
        self._login.hurry()

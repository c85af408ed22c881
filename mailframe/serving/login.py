"""A login on a served connection, which records the user."""

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
        """The step after the client's response, decoded; None first if it began without one.

        A Challenge is to be sent and answered. After a Success, a Refusal or a Fault the exchange
        is over.
        """
        step = await self._login.step(response)
        if isinstance(step, Success):
            # A client that may act for another user has that user's rights (RFC 4422 section 2).
            self._known(step.authzid or step.user)
        return step

    def hurry(self) -> None:
        """The answer is not needed any more."""
        self._login.hurry()

"""One AUTH command of a session: the exchange, the question to the hooks, the time it takes."""

from __future__ import annotations

import base64
from math import ceil
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from ..eventual import is_later
from ..message import Client
from ..smtp.command import Auth
from ..smtp.reply import BAD_SEQUENCE, Reply
from . import sasl
from .transaction import Shared

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

FAILURE_TIME = 1.0  # seconds: a failed AUTH is answered after this or a multiple of it


class Authentication:
    """What is between AUTH and 235; each step gives the user's name, or a reply to send."""

    __slots__ = ("_client", "_exchange", "_nap", "_shared")

    def __init__(self, shared: Shared, client: Client) -> None:
        self._shared = shared
        self._client = client
        self._exchange: sasl.Exchange | None = None
        self._nap: tuple[IDelayedCall, Deferred[None]] | None = None

    async def begin(self, command: Auth) -> str | Reply:
        """AUTH itself, with its initial response or without."""
        self._exchange = sasl.begin(command.mechanism)
        if self._exchange is None:
            return sasl.UNKNOWN_MECHANISM
        return await self.step(command.initial)

    async def step(self, response: bytes | None) -> str | Reply:
        """The client's answer to the last challenge."""
        if self._exchange is None:
            return BAD_SEQUENCE
        step = self._exchange.step(response)
        if isinstance(step, bytes):
            return Reply(334, base64.b64encode(step).decode("ascii"))
        self._exchange = None
        if isinstance(step, Reply):
            return step
        started = self._shared.reactor.seconds()
        user = self._shared.hooks.authenticate(self._client, step)
        if is_later(user):
            user = await user
        if isinstance(user, Reply):
            await self._in_equal_time(started)
        return user

    async def _in_equal_time(self, started: float) -> None:
        """Wait until the time it took tells nothing of whether there is such a user."""
        taken = self._shared.reactor.seconds() - started
        rest = max(1, ceil(taken / FAILURE_TIME)) * FAILURE_TIME - taken
        if rest <= 0:
            return
        awake: Deferred[None] = Deferred()
        self._nap = self._shared.reactor.callLater(rest, awake.callback, None), awake
        await awake
        self._nap = None

    def hurry(self) -> None:
        """Nobody waits for the answer any more."""
        if self._nap is not None:
            call, awake = self._nap
            if call.active():
                call.cancel()
                awake.callback(None)

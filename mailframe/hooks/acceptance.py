"""Finds out at RCPT if mail for a recipient can go anywhere, and asks no more than that needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ..eventual import is_later
from ..interfaces import IForeseeingAgent
from ..message import Envelope, Recipient, Redirect, Route
from ..smtp.reply import Reply
from . import answers
from .expansion import Expansion
from .question import Bound, Fault, Question
from .routing import Asking, Opinion, Routing, routing_of

PATIENCE = 30.0  # seconds that an agent may take, because a client waits


def foreseeing(
    agents: Mapping[str, Bound],
    reactor: IReactorTime,
    told: Callable[[Bound, str, Fault, Any], None],
) -> dict[str, Question]:
    """Questions to the agents that can tell in advance that they would not take mail, by name."""
    return {
        name: Question(
            replace(bound, timeout=min(bound.timeout, PATIENCE)),
            "refusal",
            answers.is_refusal,
            reactor,
            told,
        )
        for name, bound in agents.items()
        if IForeseeingAgent.providedBy(bound.plugin)
    }


async def accepted(
    envelope: Envelope,
    recipient: Recipient,
    asking: Asking,
    asked: Opinion | Deferred[Opinion],
    most: int,
    foreseeing: Mapping[str, Question],
) -> Routing:
    """See `Hooks.accepts`. `asked` is the answer about the recipient itself.

    `most` is the number of addresses that the recipient may stand for.
    """
    answer, decided = await asked if is_later(asked) else asked
    if isinstance(answer, Redirect):
        return await Expansion(asking, recipient, most, {}).accepts(answer, decided)
    if isinstance(answer, Route) and answer.agent in foreseeing:
        found = foreseeing[answer.agent].ask(envelope, answer.of(recipient))
        if is_later(found):
            found = await found
        # If the agent fails to answer, nothing is known: the delivery will tell.
        if isinstance(found, Reply):
            asking.tell(recipient, found, answer.agent)
            return routing_of(recipient, found)
    return routing_of(recipient, answer)

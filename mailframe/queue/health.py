"""Tells from a delivery's outcomes if the place that it went to works."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from ..message import Outcome, Status


class Heard(Enum):
    """How well the place works."""

    WELL = "it talks with us"
    NO_SESSION = "it talks, and takes no session of ours"
    NOTHING = "it cannot be reached"


def heard(outcomes: Sequence[Outcome]) -> Heard:
    """The result of all outcomes of a delivery together."""
    if len(outcomes) == 1:
        return _of(outcomes[0])
    kinds = {_of(outcome) for outcome in outcomes}
    return kinds.pop() if len(kinds) == 1 else Heard.WELL


def _of(outcome: Outcome) -> Heard:
    if outcome.status is not Status.DEFERRED:
        return Heard.WELL
    if not outcome.remote:
        return Heard.NOTHING
    # RFC 5321 section 3.8: a 421 ends the session, whatever it is a reply to.
    no_session = outcome.no_session or (outcome.reply.code == 421 and not outcome.ours)
    return Heard.NO_SESSION if no_session else Heard.WELL

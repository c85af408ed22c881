"""Where a connection stands, and what may follow: one table.

What is not in it: how far the dialogue is (`smtp.order`), and whether the client reads what it
was sent (`flow`), which can be so or not in every phase.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class Phase(Enum):
    """From the first look at a client to the last."""

    __hash__ = object.__hash__  # an Enum's own is Python's work

    ARRIVED = "arrived"  # nobody has looked at it yet
    WRAPPING = "wrapping"  # TLS from the first octet: its handshake
    HOLDING = "holding"  # the greeting is held back (`greet_delay`)
    GREETING = "greeting"  # the filters are asked about the connection
    OPEN = "open"  # it is the client's turn
    ANSWERING = "answering"  # it is ours: an answer is waited for
    SECURING = "securing"  # STARTTLS was answered: its handshake
    CLOSING = "closing"  # the last word is said
    FINISHING = "finishing"  # the client is gone, the answer is still waited for
    GONE = "gone"


class Step(Enum):
    """What moves a connection from one phase to the next."""

    __hash__ = object.__hash__

    WRAP = "wrap"
    HOLD = "hold"
    GREET = "greet"
    GREETED = "greeted"
    WAIT = "wait"
    ANSWER = "answer"
    SECURE = "secure"
    SECURED = "secured"
    CLOSE = "close"
    ABORT = "abort"
    LOSE = "lose"


# An Enum's members are slow to look up by its name; these are looked up for every command.
ARRIVED, WRAPPING, HOLDING = Phase.ARRIVED, Phase.WRAPPING, Phase.HOLDING
GREETING, OPEN, ANSWERING = Phase.GREETING, Phase.OPEN, Phase.ANSWERING
SECURING, CLOSING = Phase.SECURING, Phase.CLOSING
FINISHING, GONE = Phase.FINISHING, Phase.GONE

WRAP, HOLD, GREET, GREETED = Step.WRAP, Step.HOLD, Step.GREET, Step.GREETED
WAIT, ANSWER, SECURE, SECURED = Step.WAIT, Step.ANSWER, Step.SECURE, Step.SECURED
CLOSE, ABORT, LOSE = Step.CLOSE, Step.ABORT, Step.LOSE

_ENDS = {CLOSE: CLOSING, ABORT: CLOSING, LOSE: GONE}

#: The phase that follows; a step that is not there is a bug.
PHASES: Mapping[Phase, Mapping[Step, Phase]] = {
    ARRIVED: {WRAP: WRAPPING, HOLD: HOLDING, GREET: GREETING, **_ENDS},
    WRAPPING: {HOLD: HOLDING, GREET: GREETING, **_ENDS},
    HOLDING: {GREET: GREETING, **_ENDS},
    GREETING: {GREETED: OPEN, **_ENDS},
    OPEN: {WAIT: ANSWERING, SECURE: SECURING, **_ENDS},
    # What is being answered is finished, unheard, when the client goes.
    ANSWERING: {ANSWER: OPEN, ABORT: FINISHING, LOSE: FINISHING},
    SECURING: {SECURED: OPEN, **_ENDS},
    CLOSING: _ENDS,
    FINISHING: {ANSWER: GONE, ABORT: FINISHING, LOSE: FINISHING},
    GONE: {ABORT: GONE, LOSE: GONE},
}

#: Nothing was said to the client yet.
UNGREETED = frozenset({ARRIVED, WRAPPING, HOLDING, GREETING})
#: What the client sends now counts for nothing.
ENDED = frozenset({CLOSING, FINISHING, GONE})
HANDSHAKES = frozenset({WRAPPING, SECURING})

"""The phases of a connection and what may follow each, as one table.

The table does not say how far the dialogue is (`smtp.order`), and whether the client reads its
replies (`flow`); both can vary within each phase.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class Phase(Enum):
    """The phases from the connection of a client to its end."""

    __hash__ = object.__hash__  # that of Enum is Python code, and slow

    ARRIVED = "arrived"  # the filters have not been asked yet
    WRAPPING = "wrapping"  # TLS from the first octet: the handshake
    HOLDING = "holding"  # the greeting is delayed (`greet_delay`)
    GREETING = "greeting"  # the filters are asked about the connection
    OPEN = "open"  # it is the client's turn
    ANSWERING = "answering"  # it is this host's turn: an answer is waited for
    SECURING = "securing"  # STARTTLS was answered: the handshake
    CLOSING = "closing"  # the last reply has been written
    FINISHING = "finishing"  # the client has gone, an answer is still waited for
    GONE = "gone"


class Step(Enum):
    """The steps that move a connection from one phase to the next."""

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


# Looking up an Enum's member by its name is slow, and these are needed for every command.
ARRIVED, WRAPPING, HOLDING = Phase.ARRIVED, Phase.WRAPPING, Phase.HOLDING
GREETING, OPEN, ANSWERING = Phase.GREETING, Phase.OPEN, Phase.ANSWERING
SECURING, CLOSING = Phase.SECURING, Phase.CLOSING
FINISHING, GONE = Phase.FINISHING, Phase.GONE

WRAP, HOLD, GREET, GREETED = Step.WRAP, Step.HOLD, Step.GREET, Step.GREETED
WAIT, ANSWER, SECURE, SECURED = Step.WAIT, Step.ANSWER, Step.SECURE, Step.SECURED
CLOSE, ABORT, LOSE = Step.CLOSE, Step.ABORT, Step.LOSE

_ENDS = {CLOSE: CLOSING, ABORT: CLOSING, LOSE: GONE}

#: The phase that follows each step; a step that is missing here is a bug.
PHASES: Mapping[Phase, Mapping[Step, Phase]] = {
    ARRIVED: {WRAP: WRAPPING, HOLD: HOLDING, GREET: GREETING, **_ENDS},
    WRAPPING: {HOLD: HOLDING, GREET: GREETING, **_ENDS},
    HOLDING: {GREET: GREETING, **_ENDS},
    GREETING: {GREETED: OPEN, **_ENDS},
    OPEN: {WAIT: ANSWERING, SECURE: SECURING, **_ENDS},
    # If the client goes, the command under way is finished without a reply.
    ANSWERING: {ANSWER: OPEN, ABORT: FINISHING, LOSE: FINISHING},
    SECURING: {SECURED: OPEN, **_ENDS},
    CLOSING: _ENDS,
    FINISHING: {ANSWER: GONE, ABORT: FINISHING, LOSE: FINISHING},
    GONE: {ABORT: GONE, LOSE: GONE},
}

#: No reply has been written to the client yet.
UNGREETED = frozenset({ARRIVED, WRAPPING, HOLDING, GREETING})
#: What the client sends now is ignored.
ENDED = frozenset({CLOSING, FINISHING, GONE})
HANDSHAKES = frozenset({WRAPPING, SECURING})

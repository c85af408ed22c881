"""One authentication exchange as the server sees it (RFC 4422 section 3).

It knows no protocol, and does not look anything up itself. The caller gives it the client's
responses, decoded, and does what each step says:

| step      | what the caller does                                                        |
|-----------|-----------------------------------------------------------------------------|
| Challenge | sends the octets; the client's response is the next `step(response)`        |
| ...Wanted | finds the answer, however long that takes, and gives `answered(answer)`     |
| Success   | the client is who it says; nothing comes after                              |
| Refusal   | the client is not logged in; nothing comes after                            |

If the client cancels, if there is no answer, or if time is up, the caller drops the exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from enum import Enum
from typing import TypeAlias

from .step import (
    MAX_RESPONSE,
    REFUSED,
    Answer,
    CertificateWanted,
    Challenge,
    Identity,
    PasswordWanted,
    Question,
    Reason,
    Refusal,
    Step,
    Success,
)

# One mechanism's side of the conversation: what it yields, what it gets back, how it ends.
Script: TypeAlias = Generator[Challenge | Question, bytes | Answer, Success | Refusal]

_TOO_LONG = Refusal(Reason.MALFORMED, f"a response has more than {MAX_RESPONSE} octets")
_NOT_ALLOWED = Refusal(Reason.REFUSED, "the user may not act for another")


class _Turn(Enum):
    """Which side the exchange waits for."""

    CLIENT = "client"
    AUTHORITY = "authority"
    NOBODY = "nobody"


class Exchange:
    """The conversation of one AUTH command; `mechanism` is its name in capitals."""

    __slots__ = ("_begin", "_script", "_turn", "mechanism")

    def __init__(self, mechanism: str, begin: Callable[[bytes | None], Script]) -> None:
        self.mechanism = mechanism
        self._begin = begin
        self._script: Script | None = None
        self._turn = _Turn.CLIENT

    def step(self, response: bytes | None) -> Step:
        """The step after the client's response, which may be any octets.

        None is for the first step only: the client began without an initial response. Raises
        RuntimeError if it is not the client's turn.
        """
        if self._turn is not _Turn.CLIENT:
            raise RuntimeError("it is not the client's turn")
        if response is not None and len(response) > MAX_RESPONSE:
            self._turn = _Turn.NOBODY
            return _TOO_LONG
        if self._script is None:
            self._script = self._begin(response)
            return self._advance(self._script, None)
        if response is None:
            raise RuntimeError("only the first response can be missing")
        return self._advance(self._script, response)

    def answered(self, answer: Answer) -> Step:
        """The step after the answer to the last question.

        Raises RuntimeError if nothing was asked, TypeError if it is no answer to that question.
        """
        if self._turn is not _Turn.AUTHORITY or self._script is None:
            raise RuntimeError("nothing was asked")
        return self._advance(self._script, answer)

    def _advance(self, script: Script, sent: bytes | Answer) -> Step:
        self._turn = _Turn.NOBODY
        try:
            step = script.send(sent)
        except StopIteration as end:
            outcome: Success | Refusal = end.value
            return outcome
        self._turn = _Turn.CLIENT if isinstance(step, Challenge) else _Turn.AUTHORITY
        return step


def heard(challenge: bytes) -> Generator[Challenge, bytes | Answer, bytes]:
    """The client's response to this challenge."""
    sent = yield Challenge(challenge)
    if not isinstance(sent, bytes):
        raise TypeError("a response is octets")
    return sent


def first_heard(initial: bytes | None) -> Generator[Challenge, bytes | Answer, bytes]:
    """The initial response; if it did not come, it is asked for with an empty challenge."""
    if initial is not None:
        return initial
    return (yield from heard(b""))


def identified(
    question: PasswordWanted | CertificateWanted,
) -> Generator[Question, bytes | Answer, Identity | None]:
    """The user that the answer to this question names."""
    sent = yield question
    if sent is not None and not isinstance(sent, Identity):
        raise TypeError(f"{type(question).__name__} is answered with an Identity or None")
    return sent


def settled(identity: Identity | None, authzid: str, own_name: str = "") -> Success | Refusal:
    """Success if the user acts for itself, or may act for the other one that it names.

    `own_name` is a name that the client has proved to be its own.
    """
    if identity is None:
        return REFUSED
    if authzid in ("", own_name, identity.user) or identity.acts_as == identity.user:
        return Success(identity.user)
    # RFC 4616 section 2 leaves this to the server: no user acts for another unless an answer allows
    # it.
    return Success(identity.user, identity.acts_as) if identity.acts_as else _NOT_ALLOWED

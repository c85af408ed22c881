"""The one way in which plugins are asked first to last.

Relay policies, routers, checkers of logins and filters are asked one after the other until one
of them decides. A witness sees each that is asked, also those without an opinion: what explains
a decision, compares a plugin that has no effect yet, or keeps sessions for later is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from twisted.internet.defer import Deferred

from ..eventual import is_later
from .question import Question


class Witness(Protocol):
    """Sees what plugins are asked and answer. What it raises fails the asking: it is ours."""

    def asked(self, question: Question, answer: Any, seconds: float) -> None:
        """`answer` is the plugin's, None for no opinion, or a Fault; it took `seconds`."""

    def decided(self, question: Question | None, answer: Any) -> None:
        """This answer is what counts; None and None if nobody decided."""


#: Whether to go on after an answer that is an opinion; called with it, who gave it, and the
#: reactor's seconds at which it was asked for (0.0 if there is no clock).
GoesOn: TypeAlias = Callable[[Any, Question, float], bool | Deferred[bool]]


async def ask(
    questions: Sequence[Question],
    arguments: Sequence[Any],
    *,
    first: int = 0,
    goes_on: GoesOn | None = None,
    seconds: Callable[[], float] | None = None,
    witness: Witness | None = None,
) -> tuple[Any, int]:
    """The answer that decides and the index of who gave it; (None, their number) if none does.

    Asked are those from `first` on. The first opinion decides, a Fault too, unless `goes_on`
    says that it does not. `arguments` may be changed by `goes_on` for those who are asked next.
    With a `witness` there must be a clock (`seconds`).
    """
    started = 0.0
    for index in range(first, len(questions)):
        question = questions[index]
        if seconds is not None:
            started = seconds()
        answer = question.ask(*arguments)
        if answer is None and witness is None:
            continue
        if is_later(answer):
            answer = await answer
        if witness is not None and seconds is not None:
            witness.asked(question, answer, seconds() - started)
        if answer is None:
            continue
        more = goes_on is not None and goes_on(answer, question, started)
        if is_later(more):
            more = await more
        if not more:
            if witness is not None:
                witness.decided(question, answer)
            return answer, index
    if witness is not None:
        witness.decided(None, None)
    return None, len(questions)

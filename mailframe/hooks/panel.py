"""The one way in which plugins are asked first to last.

Relay policies, routers, checkers of logins and filters are asked one after the other until one
of them decides. A witness sees each that is asked, also those without an opinion: what explains
a decision, compares a plugin that has no effect yet, or keeps sessions for later is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from twisted.internet.defer import Deferred

from ..eventual import at_once, is_later
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

#: The answer that decides, and the index of who gave it.
Asked: TypeAlias = tuple[Any, int]


def ask(
    questions: Sequence[Question],
    arguments: Sequence[Any],
    *,
    first: int = 0,
    goes_on: GoesOn | None = None,
    seconds: Callable[[], float] | None = None,
    witness: Witness | None = None,
    about: Any = None,
) -> Asked | Deferred[Asked]:
    """The answer that decides and the index of who gave it; (None, their number) if none does.

    Asked are those from `first` on. The first opinion decides, a Fault too, unless `goes_on`
    says that it does not. `arguments` may be changed by `goes_on` for those who are asked next.
    With a `witness` there must be a clock (`seconds`). `about` is that of `Question.ask`. If all
    that is needed is at hand, no Deferred and no coroutine is made.
    """
    started = 0.0
    for index in range(first, len(questions)):
        question = questions[index]
        if seconds is not None:
            started = seconds()
        answer = (
            question.ask(*arguments) if about is None else question.ask(*arguments, about=about)
        )
        if answer is None and witness is None:
            continue
        more: bool | Deferred[bool] = True
        if not is_later(answer):
            more = _weighed(question, answer, started, goes_on, seconds, witness)
            if more is True:
                continue
            if more is False:
                return answer, index
        asked = (answer, more, started, about)
        return at_once(_later(questions, arguments, index, *asked, goes_on, seconds, witness))
    if witness is not None:
        witness.decided(None, None)
    return None, len(questions)


def _weighed(
    question: Question,
    answer: Any,
    started: float,
    goes_on: GoesOn | None,
    seconds: Callable[[], float] | None,
    witness: Witness | None,
) -> bool | Deferred[bool]:
    """Whether to go on after this answer; a Deferred of a bool may be waited for by `_later`."""
    if witness is not None and seconds is not None:
        witness.asked(question, answer, seconds() - started)
    if answer is None:
        return True
    more = goes_on is not None and goes_on(answer, question, started)
    if witness is not None and more is False:
        witness.decided(question, answer)
    return more


async def _later(
    questions: Sequence[Question],
    arguments: Sequence[Any],
    index: int,
    answer: Any,
    more: bool | Deferred[bool],
    started: float,
    about: Any,
    goes_on: GoesOn | None,
    seconds: Callable[[], float] | None,
    witness: Witness | None,
) -> Asked:
    """The rest of `ask`, from an answer, or from the word whether to go on, that is waited for."""
    question = questions[index]
    if is_later(answer):
        answer = await answer
        more = _weighed(question, answer, started, goes_on, seconds, witness)
    if is_later(more):
        more = await more
        if witness is not None and not more:
            witness.decided(question, answer)
    if not more:
        return answer, index
    rest = ask(
        questions,
        arguments,
        first=index + 1,
        goes_on=goes_on,
        seconds=seconds,
        witness=witness,
        about=about,
    )
    return await rest if is_later(rest) else rest

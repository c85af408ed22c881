"""Asks the plugins of one hook in order.

Relay policies, routers, login checkers and filters are asked one after the other until one of them
decides. A witness sees each plugin that is asked, even if it has no opinion. Witnesses explain a
decision, compare a plugin that has no effect yet, or record sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from twisted.internet.defer import Deferred

from ..eventual import at_once, is_later
from .question import Question


class Witness(Protocol):
    """Sees what plugins are asked and what they answer. An exception of its own is not caught."""

    def asked(self, question: Question, answer: Any, seconds: float) -> None:
        """`answer` is the plugin's answer (None for no opinion) or a Fault. It took `seconds`."""

    def decided(self, question: Question | None, answer: Any) -> None:
        """`answer` is the one that counts. Both are None if no plugin decided."""


#: Returns True to go on after an opinion. Called with the answer, the question that gave it, and
#: the time at which it was asked in the reactor's seconds (0.0 if there is no clock).
GoesOn: TypeAlias = Callable[[Any, Question, float], bool | Deferred[bool]]

#: The answer that decides, and the index of the plugin that gave it.
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
    """The answer that decides and its plugin's index; (None, len(questions)) if none decides.

    Plugins are asked from index `first` on. The first opinion or Fault decides, unless `goes_on`
    returns True for it. `goes_on` may change `arguments` for the plugins that are asked next. A
    `witness` needs a clock (`seconds`). `about` is that of `Question.ask`. If every answer comes
    at once, no Deferred and no coroutine is made.
    """
    started = 0.0
    for index in range(first, len(questions)):
        question = questions[index]
        if seconds is not None:
            started = seconds()
        answer = question.ask(*arguments, about=about)
        if answer is None and witness is None:
            continue
        more: bool | Deferred[bool] = True
        if not is_later(answer):
            if goes_on is None and witness is None:
                return answer, index
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
    """True to go on after this answer; `_later` waits for it if it is a Deferred."""
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
    """The rest of `ask`, from the point at which `answer` or `more` has to be waited for."""
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

"""All filters asked at one stage of a session, and what they found together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from ..message import Finding
from ..smtp.reply import Reply
from . import answers
from .observers import Audience
from .panel import Witness, ask
from .question import Fault, Question

FilterStage = Literal["connected", "hello", "sender", "recipient", "content"]
FILTER_STAGES: tuple[FilterStage, ...] = get_args(FilterStage)


@dataclass(frozen=True, slots=True)
class Filtered:
    """What all filters together said: a refusal or None, and what they found.

    `headers` are whole fields without their last line end, folds written as CRLF.
    """

    refusal: Reply | None = None
    signals: Mapping[str, str] = field(default_factory=dict)
    headers: tuple[str, ...] = ()


PASSED = Filtered()


async def filtered(
    questions: Sequence[Question],
    stage: FilterStage,
    arguments: list[Any],
    audience: Audience | None,
    seconds: Callable[[], float],
    witness: Witness | None = None,
) -> Filtered:
    """Ask all filters; each one is shown the signals of those before it.

    The first of `arguments` is the Client or the Envelope. `audience` is told, None if nobody
    listens.
    """
    gathering = _Gathering(stage, arguments, audience)
    clock = seconds if audience is not None or witness is not None else None
    await ask(questions, arguments, goes_on=gathering.goes_on, seconds=clock, witness=witness)
    return gathering.filtered()


class _Gathering:
    """What has been found so far."""

    __slots__ = ("_arguments", "_audience", "_headers", "_refusal", "_signals", "_stage")

    def __init__(self, stage: FilterStage, arguments: list[Any], audience: Audience | None) -> None:
        self._stage = stage
        self._arguments = arguments
        self._audience = audience
        self._refusal: Reply | None = None
        self._signals: dict[str, str] = {}
        self._headers: list[str] = []

    def goes_on(self, answer: Any, question: Question, started: float) -> bool:
        """Take one answer; False if it refuses."""
        if isinstance(answer, Fault):
            if question.bound.on_error == "skip":
                return True
            answer = answer.reply(421 if self._stage == "connected" else 451)
        elif isinstance(answer, Reply) and answer.positive:
            return True
        subject, *more = self._arguments
        if self._audience is not None:
            name = question.bound.name
            self._audience.opinion(name, self._stage, answer, started, subject, more)
        if isinstance(answer, Reply):
            self._refusal = answer
            return False
        self._take(answer)
        return True

    def _take(self, finding: Finding) -> None:
        self._headers += map(answers.folded, finding.headers)
        if finding.signals:
            self._signals.update(finding.signals)
            subject = self._arguments[0]
            signals = {**subject.signals, **finding.signals}
            self._arguments[0] = replace(subject, signals=signals)

    def filtered(self) -> Filtered:
        """All of it."""
        if self._refusal is None and not (self._signals or self._headers):
            return PASSED
        return Filtered(self._refusal, self._signals, tuple(self._headers))

"""Asks all filters at one stage of a session, and combines what they found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Literal, get_args

from ..eventual import is_later
from ..message import AuthResult, Envelope, Finding, Without
from ..smtp.address import Mailbox
from ..smtp.reply import Reply
from . import answers
from .observers import Audience
from .panel import Witness, ask
from .question import Fault, Question

FilterStage = Literal["connected", "hello", "sender", "recipient", "content"]
FILTER_STAGES: tuple[FilterStage, ...] = get_args(FilterStage)


@dataclass(frozen=True, slots=True)
class Filtered:
    """The answer of all filters together: a refusal or None, and what they found.

    `headers` are whole fields without their last line end, with folds written as CRLF. The other
    parts are those of Finding, combined; of `hold` and `quarantine` the first reason counts.
    """

    refusal: Reply | None = None
    signals: Mapping[str, str] = field(default_factory=dict)
    headers: tuple[str, ...] = ()
    results: tuple[AuthResult, ...] = ()
    without: tuple[Without, ...] = ()
    redirect: tuple[Mailbox, ...] = ()
    hold: str = ""
    quarantine: str = ""
    discard: bool = False


PASSED = Filtered()


async def filtered(
    questions: Sequence[Question],
    stage: FilterStage,
    arguments: list[Any],
    audience: Audience | None,
    seconds: Callable[[], float],
    witness: Witness | None = None,
) -> Filtered:
    """Ask all filters. Each one sees the signals of those before it.

    The first of `arguments` is the Client or the Envelope. `audience` is told; it is None if no
    observer wants to know.
    """
    gathering = _Gathering(stage, arguments, audience)
    clock = seconds if audience is not None or witness is not None else None
    waiting = ask(questions, arguments, goes_on=gathering.goes_on, seconds=clock, witness=witness)
    if is_later(waiting):
        await waiting
    return gathering.filtered()


class _Gathering:
    """The findings so far."""

    __slots__ = (
        "_arguments",
        "_audience",
        "_findings",
        "_headers",
        "_refusal",
        "_signals",
        "_stage",
    )

    def __init__(self, stage: FilterStage, arguments: list[Any], audience: Audience | None) -> None:
        self._stage = stage
        self._arguments = arguments
        self._audience = audience
        self._refusal: Reply | None = None
        self._signals: dict[str, str] = {}
        self._headers: list[str] = []
        self._findings: list[Finding] = []

    def goes_on(self, answer: Any, question: Question, started: float) -> bool:
        """Take one answer. False if it refuses."""
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
        self._findings.append(finding)
        self._headers += map(answers.folded, finding.headers)
        subject = self._arguments[0]
        if finding.signals:
            self._signals.update(finding.signals)
            subject = replace(subject, signals={**subject.signals, **finding.signals})
        if finding.results and isinstance(subject, Envelope):
            subject = replace(subject, results=(*subject.results, *finding.results))
        self._arguments[0] = subject

    def filtered(self) -> Filtered:
        """The combined answer."""
        findings = self._findings
        if self._refusal is None and not findings:
            return PASSED
        return Filtered(
            self._refusal,
            self._signals,
            tuple(self._headers),
            tuple(chain.from_iterable(each.results for each in findings)),
            tuple(chain.from_iterable(each.without for each in findings)),
            tuple(dict.fromkeys(chain.from_iterable(each.redirect for each in findings))),
            next((each.hold for each in findings if each.hold), ""),
            next((each.quarantine for each in findings if each.quarantine), ""),
            any(each.discard for each in findings),
        )

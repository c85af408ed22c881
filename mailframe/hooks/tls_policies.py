"""Asks all tls_policy hooks about one exchange. The strictest answer counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..eventual import is_later
from ..message import CertificateJudge, TlsDemand
from ..smtp.reply import Reply
from .observers import Audience
from .panel import Witness, ask
from .question import Fault, Question

_Use = Literal["opportunistic", "require", "verify"]
_BY_STRICTNESS: tuple[_Use, ...] = ("opportunistic", "require", "verify")


@dataclass(frozen=True, slots=True)
class AllJudges:
    """Judges certificates: all of these judges must accept them."""

    judges: tuple[CertificateJudge, ...]

    def judge(self, host: str, chain: Sequence[bytes]) -> str:
        """The first refusal, "" if there is none (see CertificateJudge)."""
        return next((why for each in self.judges if (why := each.judge(host, chain))), "")


async def demanded(
    questions: Sequence[Question],
    domain: str,
    exchange: str,
    audience: Audience | None,
    seconds: Callable[[], float],
    witness: Witness | None = None,
) -> TlsDemand | Reply | None:
    """The combined demand of all policies; a Reply if the exchange must not be used.

    A fault is such a Reply, a 451: mail never leaves less well secured because a policy failed.
    """
    gathering = _Demands(domain, exchange, audience)
    clock = seconds if audience is not None or witness is not None else None
    asked = (domain, exchange)
    waiting = ask(questions, asked, goes_on=gathering.goes_on, seconds=clock, witness=witness)
    if is_later(waiting):
        await waiting
    return gathering.result()


class _Demands:
    """The demands so far."""

    def __init__(self, domain: str, exchange: str, audience: Audience | None) -> None:
        self._domain = domain
        self._exchange = exchange
        self._audience = audience
        self._demands: list[TlsDemand] = []
        self._refusal: Reply | None = None

    def goes_on(self, answer: Any, question: Question, started: float) -> bool:
        """Take one answer. False if the exchange must not be used."""
        if isinstance(answer, Fault):
            answer = answer.reply()
        if self._audience is not None:
            name = question.bound.name
            self._audience.demand(name, answer, started, self._domain, self._exchange)
        if isinstance(answer, Reply):
            self._refusal = answer
            return False
        self._demands.append(answer)
        return True

    def result(self) -> TlsDemand | Reply | None:
        """All demands as one."""
        if self._refusal is not None or not self._demands:
            return self._refusal
        if len(self._demands) == 1:
            return self._demands[0]
        judges = [each.certificates for each in self._demands if each.certificates is not None]
        distinct = tuple(dict.fromkeys(judges))
        return TlsDemand(
            max((each.use for each in self._demands), key=_BY_STRICTNESS.index),
            AllJudges(distinct) if len(distinct) > 1 else next(iter(distinct), None),
            ", ".join(dict.fromkeys(each.policy for each in self._demands if each.policy)),
        )

"""Asks delivery agents, and uses only what is valid in their answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..eventual import is_later
from ..message import Message, Outcome, Recipient, Route, Status
from ..message.vocabulary import Stage
from ..smtp.reply import LOCAL_ERROR, NO_DELIVERY, Reply
from . import answers
from .observers import Audience
from .question import Bound, Fault, Question, new_reference


class Deliveries:
    """All agents, by the name of their `[deliver.NAME]`."""

    _log = Logger()

    def __init__(
        self, agents: Mapping[str, Bound], reactor: IReactorTime, audience: Audience
    ) -> None:
        self._reactor = reactor
        self._audience = audience
        self._questions = {
            name: Question(
                bound,
                "deliver",
                answers.is_delivery,
                reactor,
                audience.fault,
                silence=False,
                # A slow peer is no reason to stop asking the agent.
                patient=True,
            )
            for name, bound in agents.items()
        }

    def questions(self) -> Iterable[Question]:
        """One for each agent."""
        return self._questions.values()

    def deliver(
        self, message: Message, agent: str, routes: Sequence[Route]
    ) -> tuple[Outcome, ...] | Deferred[tuple[Outcome, ...]]:
        """See Hooks."""
        recipients = [_recipient_of(route) for route in routes]
        started = self._reactor.seconds()
        question = self._questions.get(agent)
        if question is None:
            self._log.error("no [deliver.{agent}] for message {id}", agent=agent, id=message.id)
            missing = [Outcome(each, Status.DEFERRED, NO_DELIVERY) for each in recipients]
            return self._outcomes(message, agent, started, tuple(missing))
        answer = question.ask(message, routes)
        if is_later(answer):
            return answer.addCallback(self._answered, question, message, agent, recipients, started)
        return self._answered(answer, question, message, agent, recipients, started)

    def _answered(
        self,
        answer: Any,
        question: Question,
        message: Message,
        agent: str,
        recipients: Sequence[Recipient],
        started: float,
    ) -> tuple[Outcome, ...]:
        outcomes, missing = self._believed(question, message, frozenset(recipients), answer)
        result = [
            outcomes.get(recipient) or Outcome(recipient, Status.DEFERRED, missing)
            for recipient in recipients
        ]
        return self._outcomes(message, agent, started, tuple(result))

    def _outcomes(
        self, message: Message, agent: str, started: float, outcomes: tuple[Outcome, ...]
    ) -> tuple[Outcome, ...]:
        """Tell observers the outcomes, and return them."""
        if self._audience.wants(Stage.DELIVER):
            for outcome in outcomes:
                self._audience.outcome(message, outcome, agent, started)
        return outcomes

    def _believed(
        self, question: Question, message: Message, asked: frozenset[Recipient], answer: Any
    ) -> tuple[dict[Recipient, Outcome], Reply]:
        """The valid outcomes by recipient, and the reply for recipients that have none."""
        if not isinstance(answer, Fault):
            try:
                outcomes, wrong = answers.sound_outcomes(asked, answer)
            # An agent may answer with a generator, which runs the agent's code.
            except Exception:  # noqa: BLE001
                answer = question.failed(Failure(), (message,))  # type: ignore[no-untyped-call]
            else:
                return outcomes, self._doubt(question, message, wrong) if wrong else LOCAL_ERROR
        return {}, answer.reply()

    def _doubt(self, question: Question, message: Message, wrong: list[str]) -> Reply:
        fault = Fault(new_reference(), "; ".join(dict.fromkeys(wrong)))
        self._log.error(
            "deliver plugin {plugin} gave {cause} for message {id}, ref {reference}",
            plugin=question.bound.label,
            cause=fault.cause,
            id=message.id,
            reference=fault.reference,
        )
        self._audience.fault(question.bound, question.method, fault, message)
        return fault.reply()


def _recipient_of(route: Route) -> Recipient:
    if route.recipient is None:
        raise ValueError("a Route without a recipient cannot be delivered")
    return route.recipient

"""The composed server: every hook asked, combined, timed, and kept from doing harm.

What is asked gives a plain value where every plugin answered at once, else a Deferred. A
plugin's fault (an exception, a timeout, nonsense) is logged with a reference, becomes a
4xx that shows this reference, and never opens a door. Every decision is told to observers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from secrets import token_bytes
from typing import Any

from twisted.cred.credentials import IUsernamePassword
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..eventual import at_once, is_later
from ..interfaces import IQueueStore
from ..message import (
    Client,
    Content,
    Envelope,
    Message,
    Outcome,
    Recipient,
    Route,
    Status,
)
from ..plugin import Filter
from ..sasl import Identity
from ..settings import LoginSettings
from ..smtp.reply import AUTH_FAILED, LOCAL_ERROR, NO_DELIVERY, RELAYING_DENIED, Reply
from . import answers
from .filtering import FILTER_STAGES, PASSED, Filtered, FilterStage, filtered
from .guesses import Guesses
from .login import Logins
from .observers import Audience, about
from .panel import Witness, ask
from .question import Bound, Fault, Question, new_reference
from .routing import Routing, routed


def _passing_secret() -> Callable[[], bytes]:
    """One that lasts as long as these hooks."""
    secret = token_bytes(32)
    return lambda: secret


@dataclass(frozen=True, kw_only=True, eq=False)
class Hooks:
    """A composition of plugins, in the operator's order; nothing in it changes.

    `agents` are by name of their `[deliver.NAME]`; `now()` is seconds since the epoch, for
    events; `reactor` keeps the timeouts. `secret()` is the host's, and `guessing` its bounds, for
    `Logins`.
    """

    reactor: IReactorTime
    auth: tuple[Bound, ...] = ()
    relay: tuple[Bound, ...] = ()
    filters: tuple[Bound, ...] = ()
    routes: tuple[Bound, ...] = ()
    store: IQueueStore | None = None
    agents: Mapping[str, Bound] = field(default_factory=dict)
    observers: tuple[Bound, ...] = ()
    services: tuple[Bound, ...] = ()
    now: Callable[[], float] = time.time
    secret: Callable[[], bytes] = field(default_factory=_passing_secret, repr=False)
    guessing: LoginSettings = field(default_factory=LoginSettings)

    _log = Logger()

    def authenticate(
        self, client: Client, credentials: IUsernamePassword
    ) -> str | Reply | Deferred[str | Reply]:
        """The user's name, or why not: 535 5.7.8, 454 4.7.0 where a checker failed."""
        return at_once(self._authenticate(client, credentials))

    async def _authenticate(self, client: Client, credentials: IUsernamePassword) -> str | Reply:
        started = self.reactor.seconds()
        answer, plugin = await self.logins.judge_password(credentials, client)
        if isinstance(answer, Identity):
            self.logins.decided(client, "authenticated", plugin, started, user=answer.user)
            return answer.user
        refusal = answer.reply(454, "4.7.0") if isinstance(answer, Fault) else AUTH_FAILED
        self.logins.decided(client, str(refusal), plugin, started, user="")
        return refusal

    @cached_property
    def logins(self) -> Logins:
        """Who may log in at which listener, and how."""
        guesses = Guesses(self.guessing, self.reactor.seconds)
        return Logins(self.auth, self.reactor, self._audience, self.secret, guesses)

    def judge(
        self, envelope: Envelope, recipient: Recipient, witness: Witness | None = None
    ) -> Reply | Deferred[Reply]:
        """relay: always an answer; RELAYING_DENIED if nobody speaks, 451 for a fault."""
        return at_once(self._judge(envelope, recipient, witness))

    async def _judge(
        self, envelope: Envelope, recipient: Recipient, witness: Witness | None
    ) -> Reply:
        started = self._started("relay")
        questions = self._asked("judge", envelope.client.listener)
        answer, index = await ask(
            questions,
            (envelope, recipient),
            seconds=None if witness is None else self.reactor.seconds,
            witness=witness,
        )
        verdict: Reply = RELAYING_DENIED
        if answer is not None:
            # A policy that cannot speak may have wanted to refuse: nobody after it opens.
            verdict = answer.reply() if isinstance(answer, Fault) else answer
        if started is not None:
            plugin = "" if answer is None else questions[index].bound.name
            self._audience.decided(
                "relay", str(verdict), plugin, started, about(envelope, recipient)
            )
        return verdict

    def route(
        self, envelope: Envelope, recipient: Recipient, witness: Witness | None = None
    ) -> Routing | Deferred[Routing]:
        """Where this recipient's copies go: redirects followed, loops refused; never empty."""
        told = self._audience.way if self._audience.wants("route") else None
        routers = self._asked("route", envelope.client.listener)
        return at_once(routed(envelope, recipient, routers, told, self.reactor.seconds, witness))

    def connected(
        self, client: Client, witness: Witness | None = None
    ) -> Filtered | Deferred[Filtered]:
        """filter, before the greeting; a fault is a 421 here (RFC 5321 section 4.2.1)."""
        return self._filtered("connected", client.listener, [client], witness)

    def hello(
        self, client: Client, witness: Witness | None = None
    ) -> Filtered | Deferred[Filtered]:
        """filter, at HELO, EHLO or LHLO."""
        return self._filtered("hello", client.listener, [client], witness)

    def sender(
        self, envelope: Envelope, witness: Witness | None = None
    ) -> Filtered | Deferred[Filtered]:
        """filter, at MAIL."""
        return self._filtered("sender", envelope.client.listener, [envelope], witness)

    def recipient(
        self, envelope: Envelope, recipient: Recipient, witness: Witness | None = None
    ) -> Filtered | Deferred[Filtered]:
        """filter, at RCPT, after relay and route agreed."""
        return self._filtered("recipient", envelope.client.listener, [envelope, recipient], witness)

    def content(
        self, envelope: Envelope, content: Content, witness: Witness | None = None
    ) -> Filtered | Deferred[Filtered]:
        """filter, at the end of the content."""
        return self._filtered("content", envelope.client.listener, [envelope, content], witness)

    def _filtered(
        self, stage: FilterStage, listener: str, arguments: list[Any], witness: Witness | None
    ) -> Filtered | Deferred[Filtered]:
        questions = self._asked(stage, listener)
        if not questions:
            return PASSED
        audience = self._audience if self._audience.wants("filter") else None
        seconds = self.reactor.seconds
        return at_once(filtered(questions, stage, arguments, audience, seconds, witness))

    def deliver(
        self, message: Message, agent: str, routes: Sequence[Route]
    ) -> tuple[Outcome, ...] | Deferred[tuple[Outcome, ...]]:
        """One Outcome for each route, in their order; what the agent left out is DEFERRED.

        Every `route.recipient` must be set: ValueError otherwise.
        """
        recipients = [_recipient_of(route) for route in routes]
        started = self.reactor.seconds()
        question = self._agents.get(agent)
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
        """The same, told."""
        if self._audience.wants("deliver"):
            for outcome in outcomes:
                self._audience.outcome(message, outcome, agent, started)
        return outcomes

    def _believed(
        self, question: Question, message: Message, asked: frozenset[Recipient], answer: Any
    ) -> tuple[dict[Recipient, Outcome], Reply]:
        """The sound outcomes by recipient, and the reply for those that have none."""
        if not isinstance(answer, Fault):
            try:
                outcomes, wrong = answers.sound_outcomes(asked, answer)
            # An agent may answer with a generator, which is the agent's code.
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

    def tell(
        self,
        stage: str,
        verdict: str,
        *,
        plugin: str = "",
        id: str = "",
        session: str = "",
        milliseconds: float = 0.0,
        **facts: object,
    ) -> None:
        """Give observers an Event, unless nobody wants its stage; never fails."""
        self._audience.tell(
            stage,
            verdict,
            plugin=plugin,
            id=id,
            session=session,
            milliseconds=milliseconds,
            **facts,
        )

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """Every plugin but the store, in the order in which those that are services start."""
        return (
            *self.auth,
            *self.relay,
            *self.filters,
            *self.routes,
            *self.observers,
            *self.agents.values(),
            *self.services,
        )

    @cached_property
    def _audience(self) -> Audience:
        return Audience(self.observers, self.reactor, self.now)

    @cached_property
    def _agents(self) -> dict[str, Question]:
        return {
            name: Question(
                bound,
                "deliver",
                answers.is_delivery,
                self.reactor,
                self._audience.fault,
                silence=False,
                # A slow peer is no reason to leave the agent alone.
                patient=True,
            )
            for name, bound in self.agents.items()
        }

    @cached_property
    def _questions(self) -> dict[str, list[Question]]:
        ask, told = self.reactor, self._audience.fault
        questions = {
            "judge": [Question(b, "judge", answers.is_judgement, ask, told) for b in self.relay],
            "route": [Question(b, "route", answers.is_way, ask, told) for b in self.routes],
        }
        for stage in FILTER_STAGES:
            unwritten = getattr(Filter, stage)
            questions[stage] = [
                Question(each, stage, answers.is_finding, ask, told)
                for each in self.filters
                # A stage that a Filter left as it was need not be asked.
                if getattr(getattr(each.plugin, stage), "__func__", None) is not unwritten
            ]
        return questions

    @cached_property
    def _by_listener(self) -> dict[tuple[str, str], tuple[Question, ...]]:
        return {}

    def _asked(self, method: str, listener: str) -> tuple[Question, ...]:
        """Who is asked this about a session of this listener, in order."""
        found = self._by_listener.get((method, listener))
        if found is None:
            found = self._by_listener[method, listener] = tuple(
                question
                for question in self._questions[method]
                if question.bound.on is None or listener in question.bound.on
            )
        return found

    def _started(self, stage: str) -> float | None:
        """When, in the reactor's seconds; None where nobody listens to that stage."""
        return self.reactor.seconds() if self._audience.wants(stage) else None


def _recipient_of(route: Route) -> Recipient:
    if route.recipient is None:
        raise ValueError("a Route without a recipient cannot be delivered")
    return route.recipient

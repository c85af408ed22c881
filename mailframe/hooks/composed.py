"""The composed server, which asks every hook, combines the answers and contains faults.

A method returns a plain value if every plugin answered at once, else a Deferred. A plugin's
fault (an exception, a timeout, an invalid answer) is logged with a reference. It becomes a 4xx that
shows this reference, and never permits anything. Observers are told every decision.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from secrets import token_bytes
from typing import Any

from twisted.cred.credentials import IUsernamePassword
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from ..eventual import at_once, is_later
from ..interfaces import IInspected, IQueueStore
from ..message import (
    Client,
    Content,
    Departed,
    Envelope,
    Message,
    Outcome,
    Recipient,
    Redirect,
    Route,
    TlsDemand,
)
from ..message.vocabulary import Stage, Verdict
from ..plugin import Filter
from ..sasl import Identity
from ..settings import LoginSettings
from ..smtp.reply import AUTH_FAILED, RELAYING_DENIED, Reply
from . import answers
from .acceptance import accepted, foreseeing
from .delivering import Deliveries
from .departing import InThread, departed
from .expansion import routed
from .filtering import FILTER_STAGES, PASSED, Filtered, FilterStage, filtered
from .guesses import Guesses
from .login import Logins
from .observers import Audience, about
from .panel import Asked, Witness, ask
from .question import Bound, Fault, Question
from .routing import MAX_ADDRESSES, Asking, Known, Routing, routing_of
from .tls_policies import demanded


def _passing_secret() -> Callable[[], bytes]:
    """A secret that lasts as long as these hooks."""
    secret = token_bytes(32)
    return lambda: secret


@implementer(IInspected)
@dataclass(frozen=True, kw_only=True, eq=False)
class Hooks:
    """A composition of plugins in the operator's order, which never changes.

    `agents` are by the NAME of their `[deliver.NAME]`. `now()` is in seconds since the epoch, for
    events; `reactor` keeps the timeouts. `secret()`, the host's, and `guessing` are for `Logins`.
    `in_thread` runs what blocks. `expansion` is the number of addresses that a recipient may stand
    for.
    """

    reactor: IReactorTime
    auth: tuple[Bound, ...] = ()
    relay: tuple[Bound, ...] = ()
    filters: tuple[Bound, ...] = ()
    routes: tuple[Bound, ...] = ()
    store: IQueueStore | None = None
    departures: tuple[Bound, ...] = ()
    tls_policies: tuple[Bound, ...] = ()
    agents: Mapping[str, Bound] = field(default_factory=dict)
    observers: tuple[Bound, ...] = ()
    services: tuple[Bound, ...] = ()
    now: Callable[[], float] = time.time
    expansion: int = MAX_ADDRESSES
    secret: Callable[[], bytes] = field(default_factory=_passing_secret, repr=False)
    in_thread: InThread = maybeDeferred
    guessing: LoginSettings = field(default_factory=LoginSettings)

    _log = Logger()

    def authenticate(
        self, client: Client, credentials: IUsernamePassword
    ) -> str | Reply | Deferred[str | Reply]:
        """The user's name, or a refusal: 535 5.7.8, or 454 4.7.0 if a checker failed."""
        return at_once(self._authenticate(client, credentials))

    async def _authenticate(self, client: Client, credentials: IUsernamePassword) -> str | Reply:
        started = self.reactor.seconds()
        answer, plugin = await self.logins.judge_password(credentials, client)
        if isinstance(answer, Identity):
            self.logins.decided(client, Verdict.AUTHENTICATED, plugin, started, user=answer.user)
            return answer.user
        refusal = answer.reply(454, "4.7.0") if isinstance(answer, Fault) else AUTH_FAILED
        self.logins.decided(client, refusal, plugin, started, user="")
        return refusal

    @cached_property
    def logins(self) -> Logins:
        """Who may log in at which listener, and how."""
        guesses = Guesses(self.guessing, self.reactor.seconds)
        return Logins(self.auth, self.reactor, self._audience, self.secret, guesses)

    def judge(
        self, envelope: Envelope, recipient: Recipient, witness: Witness | None = None
    ) -> Reply | Deferred[Reply]:
        """relay: RELAYING_DENIED if no policy has an opinion, 451 if one failed."""
        started = self._started(Stage.RELAY)
        questions = self._asked("judge", envelope.client.listener)
        seconds = None if witness is None else self.reactor.seconds
        asked = ask(questions, (envelope, recipient), seconds=seconds, witness=witness)
        if is_later(asked):
            return asked.addCallback(self._judged, questions, started, envelope, recipient)
        return self._judged(asked, questions, started, envelope, recipient)

    def _judged(
        self,
        asked: Asked,
        questions: Sequence[Question],
        started: float | None,
        envelope: Envelope,
        recipient: Recipient,
    ) -> Reply:
        answer, index = asked
        verdict: Reply = RELAYING_DENIED
        if answer is not None:
            # A policy that failed may have wanted to refuse, so none after it may permit.
            verdict = answer.reply() if isinstance(answer, Fault) else answer
        if started is not None:
            plugin = "" if answer is None else questions[index].bound.name
            self._audience.decided(
                Stage.RELAY, verdict, plugin, started, about(envelope, recipient)
            )
        return verdict

    def route(
        self,
        envelope: Envelope,
        recipient: Recipient,
        witness: Witness | None = None,
        known: Known | None = None,
    ) -> Routing | Deferred[Routing]:
        """Where this recipient's copies go. Follows redirects and refuses loops.

        Long work is done in turns. The message already has an entry for each of the `known`.
        """
        asking = self._asking(envelope, witness)
        asked = asking.ask(recipient, 0)
        if not is_later(asked) and not isinstance(asked[0], Redirect):
            return routing_of(recipient, asked[0])
        return at_once(routed(recipient, asking, asked, self.expansion, known or {}))

    def accepts(self, envelope: Envelope, recipient: Recipient) -> Routing | Deferred[Routing]:
        """At RCPT: find out if mail for this recipient can go anywhere, asking no more than needed.

        Gives the first Route that is found, or the refusals if there is none. Gives neither for a
        list if all members that were asked about are refused and others are left. The agent of the
        recipient's own Route may refuse the mail in advance (IForeseeingAgent).
        """
        asking, foreseeing = self._asking(envelope, None), self._foreseeing
        asked = asking.ask(recipient, 0)
        if not is_later(asked):
            answer = asked[0]
            if isinstance(answer, Reply) or (
                isinstance(answer, Route) and answer.agent not in foreseeing
            ):
                return routing_of(recipient, answer)
        return at_once(accepted(envelope, recipient, asking, asked, self.expansion, foreseeing))

    def _asking(self, envelope: Envelope, witness: Witness | None) -> Asking:
        told = self._audience.way if self._audience.wants(Stage.ROUTE) else None
        routers = self._asked("route", envelope.client.listener)
        return Asking(envelope, routers, told, self.reactor, witness)

    def connected(
        self, client: Client, witness: Witness | None = None
    ) -> Filtered | Deferred[Filtered]:
        """filter, before the greeting. A fault is a 421 here (RFC 5321 section 4.2.1)."""
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
        """filter, at RCPT, after relay and route have accepted the recipient."""
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
        audience = self._audience if self._audience.wants(Stage.FILTER) else None
        seconds = self.reactor.seconds
        return at_once(filtered(questions, stage, arguments, audience, seconds, witness))

    def depart(
        self, message: Message, routes: Sequence[Route], witness: Witness | None = None
    ) -> Departed | Reply | Deferred[Departed | Reply]:
        """departure: the message as it leaves, or a negative Reply if it must stay.

        Fails with OSError if the store cannot be read.
        """
        questions = self._asked("depart", message.envelope.client.listener)
        if not questions:
            return Departed(message)
        audience = self._audience if self._audience.wants(Stage.DEPARTURE) else None
        seconds = self.reactor.seconds
        asked = departed(questions, message, routes, self.in_thread, audience, seconds, witness)
        return at_once(asked)

    def demand(
        self, domain: str, exchange: str, witness: Witness | None = None
    ) -> TlsDemand | Reply | Deferred[TlsDemand | Reply | None] | None:
        """tls_policy: the strictest demand, None for none; a Reply if the exchange is forbidden."""
        questions = self._questions["demand"]
        if not questions:
            return None
        audience = self._audience if self._audience.wants(Stage.TLS_POLICY) else None
        seconds = self.reactor.seconds
        return at_once(demanded(questions, domain, exchange, audience, seconds, witness))

    def deliver(
        self, message: Message, agent: str, routes: Sequence[Route]
    ) -> tuple[Outcome, ...] | Deferred[tuple[Outcome, ...]]:
        """One Outcome for each route, in their order. Those that the agent left out are DEFERRED.

        Raises ValueError if a `route.recipient` is not set.
        """
        return self._deliveries.deliver(message, agent, routes)

    def tell(
        self,
        stage: Stage,
        verdict: Verdict | Reply,
        *,
        plugin: str = "",
        id: str = "",
        session: str = "",
        milliseconds: float = 0.0,
        **facts: object,
    ) -> None:
        """Give observers an Event, if any of them wants its stage. Never fails."""
        self._audience.tell(
            stage,
            verdict,
            plugin=plugin,
            id=id,
            session=session,
            milliseconds=milliseconds,
            **facts,
        )

    def tell_of(self, stage: str, verdict: str, plugin: str, facts: dict[str, Any]) -> None:
        """Give observers an Event of a plugin's own.

        Raises ValueError if the verdict is one of the host's own at that stage.
        """
        self._audience.tell_of(stage, verdict, plugin, facts)

    def state(self) -> Iterator[dict[str, object]]:
        """For IInspected: one row for each method of a plugin that failed when last asked."""
        asked = chain(
            chain.from_iterable(self._questions.values()),
            self._deliveries.questions(),
            self.logins.questions(),
        )
        yield from (row for question in asked if (row := question.state()) is not None)
        yield from self._audience.state()

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """Every plugin except the store, in the order in which services start."""
        return (
            *self.auth,
            *self.relay,
            *self.filters,
            *self.routes,
            *self.departures,
            *self.tls_policies,
            *self.observers,
            *self.agents.values(),
            *self.services,
        )

    @cached_property
    def _audience(self) -> Audience:
        return Audience(self.observers, self.reactor, self.now)

    @cached_property
    def _deliveries(self) -> Deliveries:
        return Deliveries(self.agents, self.reactor, self._audience)

    @cached_property
    def _foreseeing(self) -> dict[str, Question]:
        return foreseeing(self.agents, self.reactor, self._audience.fault)

    @cached_property
    def _questions(self) -> dict[str, list[Question]]:
        ask, told = self.reactor, self._audience.fault
        rows = (
            ("judge", self.relay, answers.is_judgement),
            ("route", self.routes, answers.is_way),
            ("depart", self.departures, answers.is_departure),
            ("demand", self.tls_policies, answers.is_demand),
        )
        questions = {
            method: [Question(each, method, accepts, ask, told) for each in bounds]
            for method, bounds, accepts in rows
        }
        for stage in FILTER_STAGES:
            unwritten = getattr(Filter, stage)
            questions[stage] = [
                Question(each, stage, answers.is_finding, ask, told)
                for each in self.filters
                # A stage that the plugin inherits from Filter unchanged need not be asked.
                if getattr(getattr(each.plugin, stage), "__func__", None) is not unwritten
            ]
        return questions

    @cached_property
    def _by_listener(self) -> dict[tuple[str, str], tuple[Question, ...]]:
        return {}

    def _asked(self, method: str, listener: str) -> tuple[Question, ...]:
        """The plugins to ask this about a session of this listener, in order."""
        found = self._by_listener.get((method, listener))
        if found is None:
            found = self._by_listener[method, listener] = tuple(
                question
                for question in self._questions[method]
                if question.bound.on is None or listener in question.bound.on
            )
        return found

    def _started(self, stage: str) -> float | None:
        """Now, in the reactor's seconds; None if no observer wants that stage."""
        return self.reactor.seconds() if self._audience.wants(stage) else None

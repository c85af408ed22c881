"""Tells observers what was decided, and contains their faults."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from inspect import iscoroutine
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..message import (
    Client,
    Departure,
    Envelope,
    Event,
    Finding,
    Message,
    Outcome,
    Recipient,
    Redirect,
    Route,
    TlsDemand,
)
from ..message.vocabulary import Stage, Verdict, row_of, verdict_text
from ..smtp.reply import Reply
from .breaker import Breaker
from .question import BLOCKING, Bound, Fault, fault_row

_OURS = frozenset({"stage", "verdict", "plugin", "id", "session", "milliseconds", "facts"})


class Audience:
    """All observers. The fault of one is logged; if it keeps failing it is skipped for a while."""

    _log = Logger()

    def __init__(
        self, observers: Sequence[Bound], reactor: IReactorTime, now: Callable[[], float]
    ) -> None:
        self._observers = [(bound, Breaker()) for bound in observers]
        self._reactor = reactor
        self._now = now
        self._by_stage: dict[str, list[tuple[Bound, Breaker]]] = {}

    def state(self) -> Iterator[dict[str, object]]:
        """A row for each observer that failed last time, like that of `Question.state`."""
        now = self._reactor.seconds()
        for bound, breaker in self._observers:
            row = fault_row(breaker, bound, "observe", now)
            if row is not None:
                yield row

    def wants(self, stage: str) -> bool:
        """True if an observer wants events of this stage. If not, no Event need be made."""
        return bool(self._of(stage))

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
        """Give an Event to all observers that want its stage, in order. Never fails."""
        listening = self._of(stage)
        if listening:
            self._pass_on(
                listening,
                Event(
                    self._now(),
                    stage,
                    verdict_text(verdict),
                    plugin,
                    id,
                    session,
                    milliseconds,
                    facts,
                ),
            )

    def tell_of(self, bound_stage: str, verdict: str, plugin: str, facts: dict[str, Any]) -> None:
        """Give an Event of a plugin's own. ValueError if the verdict is one of the host's."""
        if row_of(bound_stage, verdict) is not None:
            raise ValueError(f"{verdict!r} at {bound_stage!r} is told by the host alone")
        listening = self._of(bound_stage)
        if listening:
            self._pass_on(listening, _own_event(self._now(), bound_stage, verdict, plugin, facts))

    def _pass_on(self, listening: Iterable[tuple[Bound, Breaker]], event: Event) -> None:
        for bound, breaker in listening:
            started = self._reactor.seconds()
            if breaker.until is not None and not breaker.admits(started):
                continue
            try:
                result = bound.plugin.observe(event)
                if result is not None and (iscoroutine(result) or isinstance(result, Deferred)):
                    self._hurry(bound, result)
            # Whatever an observer raises is its own fault.
            except Exception:  # noqa: BLE001
                self._failed(bound, breaker, Failure())  # type: ignore[no-untyped-call]
            else:
                took = self._reactor.seconds() - started
                if took >= BLOCKING:
                    self._blocked(bound, breaker, took)
                elif breaker.faults and breaker.succeeded():
                    self._log.info("observe plugin {plugin} is restored", plugin=bound.name)

    def decided(
        self,
        stage: Stage,
        verdict: Verdict | Reply,
        plugin: str,
        started: float,
        facts: dict[str, Any],
        **more: Any,
    ) -> None:
        """Tell a decision. It was asked for at `started`, in the reactor's seconds."""
        milliseconds = (self._reactor.seconds() - started) * 1e3
        self.tell(stage, verdict, plugin=plugin, milliseconds=milliseconds, **facts, **more)

    def opinion(
        self,
        plugin: str,
        at: str,
        answer: Reply | Finding,
        started: float,
        subject: Client | Envelope,
        more: Sequence[Any],
    ) -> None:
        """Tell what a filter said at one stage. `more` are its arguments after `subject`."""
        facts = about(subject, more[0] if at == "recipient" else None)
        if isinstance(answer, Finding):
            facts.update(signals=dict(answer.signals), headers=len(answer.headers))
            facts.update(wanted_by(answer))
        verdict = answer if isinstance(answer, Reply) else Verdict.FOUND
        self.decided(Stage.FILTER, verdict, plugin, started, facts, at=at)

    def way(
        self,
        envelope: Envelope,
        recipient: Recipient,
        answer: Route | Redirect | Reply,
        plugin: str,
        milliseconds: float,
    ) -> None:
        """Tell how a recipient was routed; of many addresses the first ten."""
        facts = about(envelope, recipient)
        verdict: Verdict | Reply
        if isinstance(answer, Route):
            verdict = Verdict.ROUTED
            facts["agent"] = answer.agent
            if answer.next_hop is not None:
                facts["next_hop"] = answer.next_hop.host
        elif isinstance(answer, Redirect):
            verdict = Verdict.REDIRECTED
            facts["to"] = [str(address) for address in answer.addresses[:10]]
            facts["addresses"] = len(answer.addresses)
        else:
            verdict = answer
        self.tell(Stage.ROUTE, verdict, plugin=plugin, milliseconds=milliseconds, **facts)

    def outcome(self, message: Message, outcome: Outcome, agent: str, started: float) -> None:
        """Tell what became of one recipient. The agent's own facts replace none of ours."""
        facts = {key: value for key, value in outcome.facts.items() if key not in _OURS}
        facts |= about(message, outcome.recipient)
        facts |= {"reply": str(outcome.reply), "remote": outcome.remote}
        self.decided(Stage.DELIVER, Verdict(outcome.status.value), agent, started, facts)

    def departure(
        self,
        plugin: str,
        answer: Departure | Reply,
        started: float,
        message: Message,
        routes: Sequence[Route],
    ) -> None:
        """Tell what a departure hook did to a message; of many recipients the first ten."""
        facts = about(message)
        facts["recipients"] = [
            str(each.recipient.address) for each in routes[:10] if each.recipient
        ]
        if isinstance(answer, Departure):
            facts |= {"headers": len(answer.headers), "senders": len(answer.senders)}
            facts |= {"without": [each.name for each in answer.without]} if answer.without else {}
            facts |= {"content": "replaced"} if answer.content is not None else {}
        verdict = answer if isinstance(answer, Reply) else Verdict.CHANGED
        self.decided(Stage.DEPARTURE, verdict, plugin, started, facts)

    def demand(
        self, plugin: str, answer: TlsDemand | Reply, started: float, domain: str, exchange: str
    ) -> None:
        """Tell what a TLS policy demands of an exchange."""
        facts: dict[str, Any] = {"domain": domain, "exchange": exchange}
        if isinstance(answer, TlsDemand):
            facts |= {"policy": answer.policy, "certificates": answer.certificates is not None}
        verdict = answer if isinstance(answer, Reply) else Verdict(answer.use)
        self.decided(Stage.TLS_POLICY, verdict, plugin, started, facts)

    def fault(self, bound: Bound, method: str, fault: Fault, subject: Any) -> None:
        """Tell that a plugin failed, with the reference that the client reads."""
        facts: dict[str, Any] = {
            "reference": fault.reference,
            "cause": fault.cause,
            "at": method,
        }
        self.tell(
            cast(Stage, bound.stage), Verdict.FAULT, plugin=bound.name, **facts, **about(subject)
        )

    def _of(self, stage: str) -> list[tuple[Bound, Breaker]]:
        found = self._by_stage.get(stage)
        if found is None:
            found = self._by_stage[stage] = [
                (bound, breaker)
                for bound, breaker in self._observers
                if bound.plugin.wants is None or stage in bound.plugin.wants
            ]
        return found

    def _hurry(self, bound: Bound, result: object) -> None:
        """Take what an observer returned, which is not waited for.

        A Deferred runs by itself; a coroutine is refused.
        """
        if isinstance(result, Deferred):
            result.addErrback(
                lambda failure: self._log.failure(
                    "observe plugin {plugin} failed", failure=failure, plugin=bound.name
                )
            )
            return
        if iscoroutine(result):
            result.close()
        raise TypeError("observe() must return at once: it cannot be a coroutine")

    def _failed(self, bound: Bound, breaker: Breaker, failure: Failure) -> None:
        self._log.failure("observe plugin {plugin} failed", failure=failure, plugin=bound.name)
        self._count(bound, breaker)

    def _blocked(self, bound: Bound, breaker: Breaker, seconds: float) -> None:
        self._log.error(
            "observe plugin {plugin} blocked everything for {seconds:.1f} s",
            plugin=bound.name,
            seconds=seconds,
        )
        self._count(bound, breaker)

    def _count(self, bound: Bound, breaker: Breaker) -> None:
        pause = breaker.failed(self._reactor.seconds())
        if pause is not None:
            self._log.error(
                "observe plugin {plugin} failed {faults} times in a row: not told for {pause} s",
                plugin=bound.name,
                faults=breaker.faults,
                pause=pause,
            )


def _own_event(now: float, stage: str, verdict: str, plugin: str, facts: dict[str, Any]) -> Event:
    named = {name: str(facts.pop(name, "")) for name in ("id", "session")}
    return Event(now, stage, verdict, plugin, named["id"], named["session"], 0.0, facts)


def about(subject: Any, recipient: Recipient | None = None) -> dict[str, Any]:
    """The ids and facts of an Event about this session, transaction or message."""
    if isinstance(subject, Message):
        subject = subject.envelope
    if isinstance(subject, Client):
        return {"session": subject.session, "client": subject.address}
    if not isinstance(subject, Envelope):
        return {}
    facts = {
        "id": subject.id,
        "session": subject.client.session,
        "client": subject.client.address,
        "sender": str(subject.sender) if subject.sender else "<>",
    }
    if recipient is not None:
        facts["recipient"] = str(recipient.address)
    return facts


def wanted_by(finding: Finding) -> dict[str, object]:
    """What a finding wants done, for an event's facts; {} if it only adds signals or headers."""
    wanted = {
        "results": [f"{each.method}={each.result}" for each in finding.results],
        "without": [each.name for each in finding.without],
        "redirect": [str(each) for each in finding.redirect],
        "hold": finding.hold,
        "quarantine": finding.quarantine,
        "discard": finding.discard,
    }
    return {name: value for name, value in wanted.items() if value}

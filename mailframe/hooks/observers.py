"""Telling observers what was decided, without ever being harmed by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import iscoroutine
from typing import Any

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
from ..smtp.reply import Reply
from .breaker import Breaker
from .question import BLOCKING, Bound, Fault

_OURS = frozenset({"stage", "verdict", "plugin", "id", "session", "milliseconds", "facts"})


class Audience:
    """All observers. Whoever fails is logged, and left alone for a while if it goes on."""

    _log = Logger()

    def __init__(
        self, observers: Sequence[Bound], reactor: IReactorTime, now: Callable[[], float]
    ) -> None:
        self._observers = [(bound, Breaker()) for bound in observers]
        self._reactor = reactor
        self._now = now
        self._by_stage: dict[str, list[tuple[Bound, Breaker]]] = {}

    def wants(self, stage: str) -> bool:
        """Whether anybody listens to this stage; if not, no Event need be made."""
        return bool(self._of(stage))

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
        """Give an Event to all who want its stage, in order; never fails."""
        listening = self._of(stage)
        if not listening:
            return
        event = Event(self._now(), stage, verdict, plugin, id, session, milliseconds, facts)
        for bound, breaker in listening:
            started = self._reactor.seconds()
            if breaker.until is not None and not breaker.admits(started):
                continue
            try:
                result = bound.plugin.observe(event)
                if result is not None and (iscoroutine(result) or isinstance(result, Deferred)):
                    self._hurry(bound, result)
            # Whatever an observer raises is its own trouble.
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
        stage: str,
        verdict: str,
        plugin: str,
        started: float,
        facts: dict[str, Any],
        **more: Any,
    ) -> None:
        """Tell a decision that was asked for at `started`, in the reactor's seconds."""
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
        """Tell what a filter said at one of its stages; `more` it was asked with the subject."""
        facts = about(subject, more[0] if at == "recipient" else None)
        if isinstance(answer, Finding):
            facts.update(signals=dict(answer.signals), headers=len(answer.headers))
            facts.update(wanted_by(answer))
        verdict = str(answer) if isinstance(answer, Reply) else "found"
        self.decided("filter", verdict, plugin, started, facts, at=at)

    def way(
        self,
        envelope: Envelope,
        recipient: Recipient,
        answer: Route | Redirect | Reply,
        plugin: str,
        milliseconds: float,
    ) -> None:
        """Tell where a recipient was sent; of many addresses the first ten."""
        facts = about(envelope, recipient)
        if isinstance(answer, Route):
            verdict = "routed"
            facts["agent"] = answer.agent
            if answer.next_hop is not None:
                facts["next_hop"] = answer.next_hop.host
        elif isinstance(answer, Redirect):
            verdict = "redirected"
            facts["to"] = [str(address) for address in answer.addresses[:10]]
            facts["addresses"] = len(answer.addresses)
        else:
            verdict = str(answer)
        self.tell("route", verdict, plugin=plugin, milliseconds=milliseconds, **facts)

    def outcome(self, message: Message, outcome: Outcome, agent: str, started: float) -> None:
        """Tell what became of one recipient; the agent's own facts replace none of ours."""
        facts = {key: value for key, value in outcome.facts.items() if key not in _OURS}
        facts |= about(message, outcome.recipient)
        facts |= {"reply": str(outcome.reply), "remote": outcome.remote}
        self.decided("deliver", outcome.status.value, agent, started, facts)

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
        verdict = str(answer) if isinstance(answer, Reply) else "changed"
        self.decided("departure", verdict, plugin, started, facts)

    def demand(
        self, plugin: str, answer: TlsDemand | Reply, started: float, domain: str, exchange: str
    ) -> None:
        """Tell what a TLS policy demands of an exchange."""
        facts: dict[str, Any] = {"domain": domain, "exchange": exchange}
        if isinstance(answer, TlsDemand):
            facts |= {"policy": answer.policy, "certificates": answer.certificates is not None}
        verdict = str(answer) if isinstance(answer, Reply) else answer.use
        self.decided("tls_policy", verdict, plugin, started, facts)

    def fault(self, bound: Bound, method: str, fault: Fault, subject: Any) -> None:
        """Tell that a plugin failed, with the reference that the client reads."""
        facts: dict[str, Any] = {
            "reference": fault.reference,
            "cause": fault.cause,
            "at": method,
        }
        self.tell(bound.stage, "fault", plugin=bound.name, **facts, **about(subject))

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
        """An observer must not be waited for: a Deferred runs alone, a coroutine is refused."""
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


def about(subject: Any, recipient: Recipient | None = None) -> dict[str, Any]:
    """The names and facts of an Event about this session, transaction or message."""
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
    """What a finding wants done, for an event's facts; {} for facts alone."""
    wanted = {
        "results": [f"{each.method}={each.result}" for each in finding.results],
        "without": [each.name for each in finding.without],
        "redirect": [str(each) for each in finding.redirect],
        "hold": finding.hold,
        "quarantine": finding.quarantine,
        "discard": finding.discard,
    }
    return {name: value for name, value in wanted.items() if value}

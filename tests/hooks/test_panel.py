"""The one loop that asks plugins, and what a witness sees of it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailframe.hooks import Bound, Fault, Hooks, Question
from mailframe.message import Finding, Route
from mailframe.plugin import Filter
from mailframe.smtp.reply import RECIPIENT_OK, RELAYING_DENIED, Reply
from mailframe.testing.hooks import result_of
from mailframe.testing.values import envelope, recipient

NO = Reply(550, "No", "5.7.1")


class Says:
    """A relay policy, a router and a filter at RCPT with one answer."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.times = 0

    def judge(self, envelope: Any, recipient: Any) -> Any:
        self.times += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    route = judge


class SaysAtRcpt(Filter):
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def recipient(self, envelope: Any, recipient: Any) -> Any:
        self.seen = dict(envelope.signals)
        return self.answer


class Noted:
    """A witness that remembers."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, Any]] = []
        self.end: list[tuple[str | None, Any]] = []
        self.seconds: list[float] = []

    def asked(self, question: Question, answer: Any, seconds: float) -> None:
        self.answers.append((question.bound.name, answer))
        self.seconds.append(seconds)

    def decided(self, question: Question | None, answer: Any) -> None:
        self.end.append((None if question is None else question.bound.name, answer))


def bound(stage: str, *plugins: Any) -> tuple[Bound, ...]:
    return tuple(Bound(stage, f"p{number}", each) for number, each in enumerate(plugins))


class PanelTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.witness = Noted()
        self.envelope, self.recipient = envelope(), recipient("b@example.org")

    def hooks(self, **stages: Any) -> Hooks:
        return Hooks(reactor=self.clock, **stages)

    def test_a_relay_decision(self) -> None:
        """Those without an opinion are seen too, those behind who decides are not asked."""
        behind = Says(RECIPIENT_OK)
        hooks = self.hooks(relay=bound("relay", Says(None), Says(NO), behind))
        assert hooks.judge(self.envelope, self.recipient, self.witness) == NO
        assert self.witness.answers == [("p0", None), ("p1", NO)]
        assert self.witness.end == [("p1", NO)] and behind.times == 0

    def test_nobody_decides(self) -> None:
        """The default is nobody's."""
        hooks = self.hooks(relay=bound("relay", Says(None)))
        assert hooks.judge(self.envelope, self.recipient, self.witness) == RELAYING_DENIED
        assert self.witness.end == [(None, None)]

    def test_a_fault_is_seen_as_one(self) -> None:
        """And decides."""
        hooks = self.hooks(relay=bound("relay", Says(ValueError("x")), Says(RECIPIENT_OK)))
        reply = hooks.judge(self.envelope, self.recipient, self.witness)
        assert isinstance(reply, Reply) and reply.temporary
        [(_, fault)] = self.witness.answers
        assert isinstance(fault, Fault) and fault.cause == "ValueError"
        self.flushLoggedErrors(ValueError)

    def test_one_that_takes_its_time(self) -> None:
        """The witness is told how long it took, by the reactor's clock."""
        later: Deferred[Any] = Deferred()
        hooks = self.hooks(relay=bound("relay", Says(later)))
        deciding = hooks.judge(self.envelope, self.recipient, self.witness)
        self.clock.advance(2.5)
        later.callback(RECIPIENT_OK)
        assert result_of(deciding) == RECIPIENT_OK
        assert self.witness.seconds == [2.5]

    def test_routers(self) -> None:
        """Asked anew from behind who redirected to itself, as ever."""
        way = Route("archive")
        hooks = self.hooks(routes=bound("route", Says(None), Says(way)))
        routing = result_of(hooks.route(self.envelope, self.recipient, self.witness))
        assert [route.agent for route in routing.routes] == ["archive"]
        assert self.witness.answers == [("p0", None), ("p1", way)]

    def test_filters(self) -> None:
        """All are seen; each sees the signals of those before it; a refusal decides."""
        found, last = Finding({"spf": "fail"}), SaysAtRcpt(NO)
        filters = bound("filter", SaysAtRcpt(None), SaysAtRcpt(found), last, SaysAtRcpt(NO))
        hooks = self.hooks(filters=filters)
        answer = result_of(hooks.recipient(self.envelope, self.recipient, self.witness))
        assert answer.refusal == NO and answer.signals == {"spf": "fail"}
        assert last.seen == {"spf": "fail"}
        assert self.witness.answers == [("p0", None), ("p1", found), ("p2", NO)]
        assert self.witness.end == [("p2", NO)]

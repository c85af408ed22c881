"""What an agent knows at RCPT is told to the client."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from mailframe.hooks import Hooks
from mailframe.hooks.acceptance import PATIENCE
from mailframe.interfaces import IForeseeingAgent
from mailframe.message import Envelope, Recipient, Redirect, Route
from mailframe.smtp.reply import OK, Reply
from mailframe.testing.hooks import Remembered, compose_hooks, result_of
from mailframe.testing.values import envelope, mailbox, recipient

FULL = Reply(552, "The mailbox is full", "5.2.2")


class Router:
    """team is a list; everybody has a mailbox."""

    def route(self, envelope: Envelope, recipient: Recipient) -> Any:
        if recipient.address.local == "team":
            return Redirect((mailbox("ann@example.org"), mailbox("bob@example.org")))
        return Route("maildir", mailbox=recipient.address)


@implementer(IForeseeingAgent)
class Agent:
    """Answers what it is told to."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.asked: list[tuple[Envelope, Route]] = []

    def refusal(self, envelope: Envelope, route: Route) -> Any:
        self.asked.append((envelope, route))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def deliver(self, message: Any, routes: Any) -> Any:
        return []


def hooks_of(agent: Any, **more: Any) -> Hooks:
    return compose_hooks(routes=[Router()], agents={"maildir": agent}, **more)


def said(agent: Any, to: str = "bob@example.org", **more: Any) -> Any:
    """The refusal, None for none."""
    around = envelope(size=1000)
    routing = result_of(hooks_of(agent, **more).accepts(around, recipient(to)))
    assert bool(routing.routes) != bool(routing.refusals)
    return routing.refusals[0][1] if routing.refusals else None


def test_what_the_agent_foresees_is_the_answer() -> None:
    """With the envelope and the route as it will be given them; observers are told."""
    agent, seen = Agent(FULL), Remembered()
    assert said(agent, observers=[seen]) == FULL
    [(around, route)] = agent.asked
    assert (around.size, route.recipient) == (1000, recipient("bob@example.org"))
    assert [event.verdict for event in seen.events] == ["routed", str(FULL)]
    assert said(Agent(None)) is None


def test_of_a_list_no_member_is_asked_for() -> None:
    """Some have room: who has none is reported."""
    agent = Agent(FULL)
    assert said(agent, "team@example.org") is None
    assert agent.asked == []


def test_an_agent_that_foresees_nothing_is_not_asked() -> None:
    """Nor is one that is not there."""

    class Plain:
        def deliver(self, message: Any, routes: Any) -> Any:
            return []

    assert said(Plain()) is None
    hooks = compose_hooks(routes=[Router()])
    assert result_of(hooks.accepts(envelope(), recipient("bob@example.org"))).routes


def test_a_fault_refuses_nobody() -> None:
    """An exception, nonsense or silence: the delivery will tell."""
    for answer in (RuntimeError("bug"), OK, "full"):
        assert said(Agent(answer)) is None
    clock = Clock()
    hooks = hooks_of(Agent(Deferred()), reactor=clock)
    routing = hooks.accepts(envelope(), recipient("bob@example.org"))
    assert isinstance(routing, Deferred)
    clock.advance(PATIENCE)
    assert result_of(routing).routes

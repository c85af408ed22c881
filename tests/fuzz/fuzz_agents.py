"""Routers, agents and a store that do at random what such plugins may do, and remember it.

Until `wild_until` on the clock they fail, hang and lie; afterwards they do as they should.
"""

from __future__ import annotations

import errno
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from mailframe.interfaces import IDeliveryAgent, IRouter
from mailframe.message import (
    Envelope,
    Message,
    NextHop,
    Outcome,
    Recipient,
    Redirect,
    Route,
    Status,
)
from mailframe.smtp.address import Mailbox
from mailframe.smtp.reply import OK, Reply
from mailframe_plugins.queue_memory import Memory, SharedMemoryQueue

OURS = ("a.example", "b.example")
SENDERS = "client.example"  # takes all reports
NO = Reply(550, "No such user", "5.1.1")
LATER = Reply(451, "Not now", "4.3.0")
CROWDED = Reply(421, "Too many sessions", "4.7.0")

#: What is delivered once: message, address, reverse-path of its own.
Key = tuple[str, Mailbox, Mailbox | None]


@dataclass
class Fate:
    """How wild a round is now, and what became of everything in it.

    `delivered` counts copies, `lost` are those whose outcome the queue was not told; `unsure` are
    messages of which some recipient's way was not known at some time; `unkept` are messages whose
    outcomes the store had not recorded when their host stopped.
    """

    random: Random
    clock: Clock
    wild: float
    wild_until: float
    delivered: Counter[Key] = field(default_factory=Counter)
    boxes: set[tuple[Any, ...]] = field(default_factory=set)
    reached: set[tuple[str, Mailbox]] = field(default_factory=set)
    lost: set[Key] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    unkept: set[str] = field(default_factory=set)
    log: list[str] = field(default_factory=list)
    down: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    def is_wild(self) -> bool:
        """Whether something is to go wrong now."""
        return self.clock.seconds() < self.wild_until and self.random.random() < self.wild

    def say(self, text: str) -> None:
        self.log.append(f"{self.clock.seconds() - 1_000_000:7.0f} {text}")

    def later(self, call: Callable[[], Any], on_cancel: Callable[[], None]) -> Deferred[Any]:
        """The call's result after a while, or never."""
        delay = self.random.choice((0.1, 1.0, 20.0, 29.0, 70.0, 400.0, None))
        timers: list[Any] = []

        def cancelled(_: Deferred[Any]) -> None:
            on_cancel()
            for timer in timers:
                timer.cancel()

        answer: Deferred[Any] = Deferred(cancelled)
        if delay is not None:
            timers.append(self.clock.callLater(delay, lambda: self._answer(answer, call, timers)))
        return answer

    def later_surely(self, call: Callable[[], Any]) -> Deferred[Any]:
        """The call's result after a moment, though nobody may wait for it any more."""
        answer: Deferred[Any] = Deferred(lambda _: None)
        delay = self.random.choice((0.0, 0.1, 3.0, 30.0))
        self.clock.callLater(delay, self._answer, answer, call, [])
        return answer

    @staticmethod
    def _answer(answer: Deferred[Any], call: Callable[[], Any], timers: list[Any]) -> None:
        timers.clear()
        try:
            result = call()
        except Exception as wrong:
            answer.errback(wrong)
        else:
            answer.callback(result)


@implementer(IRouter)
class WildRouter:
    """The last router: mailboxes of ours, hosts of others, and redirects of its own.

    `redirects` are by lower-case local part, with the domains of OURS; `users` have mailboxes.
    """

    def __init__(
        self, fate: Fate, redirects: dict[str, tuple[Mailbox, ...]], users: set[str]
    ) -> None:
        self.fate = fate
        self.redirects = redirects
        self.users = users

    def route(self, envelope: Envelope, recipient: Recipient) -> Any:
        answer = self.answer(recipient)
        if envelope.sender is None and recipient.address.domain == SENDERS:
            return answer
        if not self.fate.is_wild():
            return answer
        self.fate.unsure.add(envelope.id)
        how = self.fate.random.randrange(4)
        if how == 0:
            raise RuntimeError("a router's fault")
        if how == 1:
            return LATER
        return self.fate.later(lambda: answer, lambda: None)

    def answer(self, recipient: Recipient) -> Route | Redirect | Reply:
        """What it says when all is well; the same for the same recipient."""
        address = recipient.address
        if address.domain not in OURS:
            host = "relay.example" if address.domain < "far1" else address.domain
            return Route("smtp", next_hop=NextHop(host))
        name, _, tag = address.local.lower().partition("+")
        found = self.redirects.get(name)
        if found is not None and address not in recipient.came_from:
            return Redirect(found)
        if name not in self.users:
            return NO
        return Route("local", mailbox=Mailbox(name, address.domain), tag=tag)


@implementer(IDeliveryAgent)
class WildAgent:
    """Takes, puts off, refuses, raises, hangs, forgets and contradicts itself."""

    def __init__(self, fate: Fate) -> None:
        self.fate = fate

    def deliver(self, message: Message, routes: Sequence[Route]) -> Any:
        fate, random = self.fate, self.fate.random
        if not fate.is_wild():
            return self._outcomes(message, routes)
        how = random.randrange(8)
        if how == 0:
            raise RuntimeError("an agent's fault")
        if how == 1:
            return fate.later(lambda: self._outcomes(message, routes), lambda: None)
        outcomes = self._outcomes(message, routes)
        if how == 2:
            return fate.later(lambda: outcomes, lambda: self._lose(message, outcomes))
        return self._lie(how, message, outcomes)

    def _lie(self, how: int, message: Message, outcomes: list[Outcome]) -> Any:
        random = self.fate.random
        if how == 3:
            self._lose(message, outcomes)
            return random.choice((None, 5, [None], "250", [OK]))
        if how == 4:
            kept = [each for each in outcomes if random.random() < 0.5]
            self._lose(message, [each for each in outcomes if each not in kept])
            return kept
        if how == 5:
            return [*outcomes, *outcomes]
        if how == 6:
            self._lose(message, outcomes)
            return [*outcomes, *(replace(each, status=Status.DEFERRED, reply=LATER)
                                 for each in outcomes)]  # fmt: skip
        other = Recipient(Mailbox("nobody", "far2.example"))
        return (each for each in [*outcomes, Outcome(other, Status.RELAYED, OK)])

    def _lose(self, message: Message, outcomes: list[Outcome]) -> None:
        for each in outcomes:
            if not each.reply.positive and each.status is not Status.FAILED:
                continue
            self.fate.say(f"{message.id} the outcome for {each.recipient.address} is lost")
            self.fate.lost.add((message.id, *each.recipient.key))

    def _outcomes(self, message: Message, routes: Sequence[Route]) -> list[Outcome]:
        fate, outcomes = self.fate, []
        place = routes[0].next_hop.host if routes[0].next_hop else ""
        now = fate.clock.seconds()
        down = any(start <= now < end for start, end in fate.down[place])
        for route in routes:
            recipient = route.recipient
            assert recipient is not None
            outcomes.append(self._outcome(recipient, down, place))
            if outcomes[-1].reply.positive:
                fate.delivered[message.id, *recipient.key] += 1
                box = (route.mailbox, route.tag) if route.mailbox else (recipient.address, "")
                fate.boxes.add((message.id, *box))
                fate.reached.add((message.id, recipient.address))
            fate.say(f"{message.id} {recipient.address} {outcomes[-1].reply}")
        return outcomes

    def _outcome(self, recipient: Recipient, down: bool, place: str) -> Outcome:
        fate, random = self.fate, self.fate.random
        if recipient.address.domain == SENDERS:
            return Outcome(recipient, Status.RELAYED, OK, SENDERS)
        if down:
            return Outcome(recipient, Status.DEFERRED, LATER, ours=True)
        if not fate.is_wild():
            return Outcome(recipient, Status.RELAYED if place else Status.DELIVERED, OK, place)
        how = random.randrange(4)
        if how == 0:
            return Outcome(recipient, Status.FAILED, NO, place)
        after = random.choice((None, None, 5.0, 5000.0))
        reply = CROWDED if how == 1 else LATER
        return Outcome(recipient, Status.DEFERRED, reply, place, retry_after=after)


class WildStore(SharedMemoryQueue):
    """Its disk is full or broken, or slow, at random. `most` others are allowed in a message."""

    fate: Fate
    most: int
    wrong = ""
    is_closing = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.unrecorded: set[str] = set()

    def close(self) -> None:
        self.is_closing = True
        super().close()

    def _wildly(self, call: Callable[..., Any], *arguments: Any) -> Any:
        fate = self.fate
        if self.is_closing or not fate.is_wild():
            return call(*arguments)
        if fate.random.random() < 0.5:
            raise OSError(errno.EIO, "broken")
        return fate.later_surely(lambda: call(*arguments))

    def begin(self, envelope: Envelope) -> Any:
        if self.fate.is_wild():
            raise OSError(errno.ENOSPC, "full")
        return super().begin(envelope)

    def claim(self, *arguments: Any) -> Any:
        return self._wildly(super().claim, *arguments)

    def renew(self, *arguments: Any) -> Any:
        return self._wildly(super().renew, *arguments)

    def release(self, *arguments: Any) -> Any:
        return self._wildly(super().release, *arguments)

    def next_due(self) -> Any:
        return self._wildly(super().next_due)

    def record(self, id: str, pending: Any, release: bool = True) -> Any:
        kept = self.get(id)
        others = sum(1 for each in pending if each.recipient.came_from)
        # One redirect each is always allowed.
        if kept and others > self.most + len(kept.message.envelope.recipients):
            self.wrong = f"{id} stands for {others} addresses, {self.most} are allowed"
        self.unrecorded.add(id)
        recorded = self._wildly(super().record, id, pending, release)
        if isinstance(recorded, Deferred):
            return recorded.addCallback(lambda _: self.unrecorded.discard(id))
        self.unrecorded.discard(id)
        return recorded


def shared(fate: Fate, memory: Memory, most: int) -> Callable[..., WildStore]:
    """A maker of stores over this memory."""

    def make(settings: Any, site: Any) -> WildStore:
        store = WildStore(settings, site, memory)
        store.fate, store.most = fate, most
        return store

    return make

"""A scheduler with everything around it, on a store in memory and a Clock."""

from __future__ import annotations

import email
import errno

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from zope.interface import implementer

from mailframe.hooks import Bound
from mailframe.interfaces import IDeliveryAgent, IRouter
from mailframe.message import NextHop, Outcome, Route, Status
from mailframe.queue.scheduler import Scheduler
from mailframe.settings import BounceSettings, QueueTimes
from mailframe.smtp.reply import OK, Reply
from mailframe.testing.hooks import Remembered, compose_hooks, result_of
from mailframe.testing.values import envelope, site
from mailframe_plugins.queue_memory import Memory, MemoryQueue, Settings, SharedMemoryQueue

BUSY = Reply(451, "Greylisted", "4.7.1")
NO = Reply(550, "No such user", "5.1.1")
TIMES = QueueTimes(jitter=0.0)
BODY = b"Subject: hello\r\n\r\nHello there.\r\n"


@implementer(IRouter)
class Routers:
    """Answers by address, or by domain; else a host of the recipient's domain."""

    def __init__(self):
        self.answers = {}
        self.asked = []

    def route(self, envelope, recipient):
        self.asked.append(str(recipient.address))
        address = recipient.address
        answer = self.answers.get(str(address), self.answers.get(address.domain))
        if answer is None:
            return Route("smtp", next_hop=NextHop(address.domain))
        return answer


@implementer(IDeliveryAgent)
class Agent:
    """Answers by address or domain with a status and a reply, or what `answer` gives."""

    def __init__(self):
        self.answers = {}
        self.calls = []
        self.delivered = []

    def deliver(self, message, routes):
        self.calls.append((message, list(routes)))
        outcomes = []
        for route in routes:
            address = route.recipient.address
            answer = self.answers.get(str(address), self.answers.get(address.domain))
            if isinstance(answer, Deferred | Exception):
                if isinstance(answer, Exception):
                    raise answer
                return answer
            status, reply, *more = answer or (Status.RELAYED, OK)
            if status in (Status.RELAYED, Status.DELIVERED):
                self.delivered.append(str(address))
            outcomes.append(Outcome(route.recipient, status, reply, *more))
        return outcomes


class House:
    """A scheduler with everything around it."""

    def __init__(
        self,
        times=TIMES,
        bounces=None,
        store=None,
        start=True,
        agent_timeout=30.0,
        chance=lambda: 0.0,
        clock=None,
        agents=(),
        routes=(),
    ):
        self.clock = clock
        if clock is None:
            self.clock = Clock()
            self.clock.advance(1_000_000)
        self.offset = 0.0
        self.router, self.agent, self.told = Routers(), Agent(), Remembered()
        self.store = (store or MemoryQueue)(Settings(), site(reactor=self.clock, now=self.now))
        self.hooks = compose_hooks(
            routes=[*routes, self.router],
            agents={
                "smtp": Bound("deliver", "smtp", self.agent, timeout=agent_timeout),
                **dict(agents),
            },
            observers=[self.told],
            store=self.store,
            reactor=self.clock,
            now=self.now,
        )
        self.scheduler = Scheduler(
            hooks=self.hooks,
            store=self.store,
            hostname="mx.example.org",
            times=times,
            bounces=bounces or BounceSettings(),
            reactor=self.clock,
            now=self.now,
            chance=chance,
            in_thread=maybeDeferred,
        )
        if start:
            self.scheduler.startService()
            self.clock.advance(0)

    def now(self):
        return self.clock.seconds() + self.offset

    def send(self, *to, id="M1", sender="alice@client.example", body=BODY, **more):
        more = {"received": self.now(), **more}
        around = envelope(sender, *(to or ("bob@far.example",)), id=id, **more)
        draft = self.store.begin(around)
        draft.write(body)
        result_of(self.scheduler.submission.commit(draft, around, b"Received: x\r\n"))

    def wait(self, seconds, step=60.0):
        while seconds > 0:
            self.clock.advance(min(step, seconds))
            seconds -= step

    def queued(self):
        return [entry.id for entry in result_of(self.store.find())]

    def pending(self, id="M1"):
        return result_of(self.store.get(id)).pending

    def reports(self):
        """(recipient, parsed) of every report given to the agent."""
        return [
            (str(routes[0].recipient.address), email.message_from_bytes(octets(message)))
            for message, routes in self.agent.calls
            if message.envelope.sender is None
        ]


class FullStore(MemoryQueue):
    """Takes nothing new while `full`, and records nothing while `broken`."""

    full = False
    broken = False

    def begin(self, envelope):
        if self.full:
            raise OSError(errno.ENOSPC, "full")
        return super().begin(envelope)

    def record(self, id, pending, release=True):
        if self.broken:
            raise OSError(errno.EIO, "broken")
        return super().record(id, pending, release)


def octets(message):
    with message.content.open() as file:
        return file.read()


def two_hosts(times=TIMES, **how):
    """Two hosts with one clock and one queue; either may be given more."""
    memory, clock = Memory(1 << 30), Clock()
    clock.advance(1_000_000)

    def store(settings, site):
        return SharedMemoryQueue(settings, site, memory)

    return [House(times, store=store, clock=clock, **how) for _ in range(2)]


def status_fields(report):
    """The per-recipient fields of a report, a dict for each."""
    blocks = report.get_payload(1).get_payload()
    return [dict(block.items()) for block in blocks[1:]]

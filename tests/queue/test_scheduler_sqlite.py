"""The scheduler on the real store and the real reactor."""

from __future__ import annotations

import random
import shutil
import tempfile
import time

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from mailframe.interfaces import IDeliveryAgent, IRouter
from mailframe.message import NextHop, Outcome, Route, Status
from mailframe.plugin import Duration
from mailframe.queue.scheduler import Scheduler
from mailframe.settings import BounceSettings, QueueTimes
from mailframe.smtp.reply import OK, Reply
from mailframe.testing.hooks import compose_hooks
from mailframe.testing.values import envelope, site
from mailframe_plugins.queue_sqlite import Settings, plugin


@implementer(IRouter)
class Everywhere:
    def route(self, envelope, recipient):
        return Route("smtp", next_hop=NextHop(recipient.address.domain))


@implementer(IDeliveryAgent)
class Moody:
    """Defers the first attempt of every third message, fails every tenth, reads all."""

    def __init__(self):
        self.seen = {}
        self.delivered = []

    async def deliver(self, message, routes):
        octets = await deferToThread(lambda: message.content.open().read())
        assert octets.startswith(b"X: y\r\n")
        if message.envelope.sender is None:
            self.delivered.append(message.envelope.recipients[0].address.local)
            return [Outcome(routes[0].recipient, Status.RELAYED, OK)]
        number = int(message.id[1:])
        self.seen[number] = self.seen.get(number, 0) + 1
        if number % 10 == 0:
            return [Outcome(routes[0].recipient, Status.FAILED, Reply(550, "no", "5.1.1"))]
        if number % 3 == 0 and self.seen[number] == 1:
            return [
                Outcome(routes[0].recipient, Status.DEFERRED, Reply(451, "later", "4.2.0"), "mx")
            ]
        self.delivered.append(number)
        return [Outcome(routes[0].recipient, Status.RELAYED, OK)]


class TestSchedulerOnSqlite(TestCase):
    async def test_everything_ends_somewhere(self):
        """Delivered, or reported to the sender: once each, and the queue is empty."""
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        where = site(folder, reactor=reactor, now=time.time, in_thread=deferToThread)
        store = plugin.build(Settings(), where)
        agent = Moody()
        agent_open = agent.deliver

        async def deliver(message, routes):
            if message.envelope.sender is None:
                agent.delivered.append(message.envelope.recipients[0].address.local)
                return [Outcome(routes[0].recipient, Status.RELAYED, OK)]
            return await agent_open(message, routes)

        agent.deliver = deliver
        hooks = compose_hooks(
            routes=[Everywhere()], agents={"smtp": agent}, store=store, reactor=reactor
        )
        times = QueueTimes(waits=(Duration(0.2),), active=20, per_destination=5)
        scheduler = Scheduler(
            hooks=hooks,
            store=store,
            hostname="mx.example.org",
            times=times,
            bounces=BounceSettings(),
            reactor=reactor,
            now=time.time,
            chance=lambda: random.uniform(-1, 1),
            in_thread=deferToThread,
        )
        store.startService()
        scheduler.startService()
        for number in range(100):
            around = envelope(
                f"s{number}@back.example",
                f"u@d{number % 3}.example",
                id=f"M{number:03}",
                received=time.time(),
            )
            draft = store.begin(around)
            waiting = draft.write(b"z" * (100 if number % 9 else 400_000))
            if waiting is not None:
                await waiting
            await scheduler.submission.commit(draft, around, b"X: y\r\n")
        end = time.monotonic() + 20
        while (await store.counts())["messages"] and time.monotonic() < end:
            pause = Deferred()
            reactor.callLater(0.05, pause.callback, None)
            await pause
        await scheduler.stopService()
        await store.close()
        numbers = sorted(each for each in agent.delivered if isinstance(each, int))
        assert numbers == [number for number in range(100) if number % 10]
        reported = sorted(each for each in agent.delivered if isinstance(each, str))
        assert reported == sorted(f"s{number}" for number in range(0, 100, 10))

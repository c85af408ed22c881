"""Large messages that lose header fields, in a queue that keeps them as files."""

from __future__ import annotations

import tempfile
from pathlib import Path

from reception_kit import NOW, Open, Router, Speaks, Talk, Watching, bind
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from mailframe.hooks import Hooks
from mailframe.message import Finding, Without
from mailframe.reception.listener import Reception
from mailframe.reception.shared import Shared
from mailframe.settings import Limits, Listener
from mailframe.testing.values import site
from mailframe_plugins.queue_sqlite import Settings, SqliteQueue

HEADER = b"Subject: x\r\nX-Away: 1\r\n  folded\r\nX-Stays: 2\r\n\r\n"
BODY = b"X-Away: not a field\r\n" + b"0123456789abcdef\r\n" * 200_000


class RewritingTests(TestCase):
    timeout = 60

    def setUp(self):
        self.clock, self.handed = Clock(), []
        self.folder = Path(tempfile.mkdtemp())
        lent = site(self.folder, reactor=reactor, now=lambda: NOW, in_thread=deferToThread)
        self.store = SqliteQueue(Settings(), lent)
        self.store.startService()
        self.addCleanup(self.store.close)
        self.watching = Watching()

    def place(self, *filters):
        hooks = Hooks(
            reactor=self.clock,
            relay=bind("relay", Open()),
            routes=bind("route", Router()),
            filters=bind("filter", *filters),
            observers=bind("observe", self.watching),
        )
        self.reception = Reception(
            Shared(
                hostname="mx.example.org",
                listener=Listener("mx", "tcp:25"),
                limits=Limits(),
                hooks=hooks,
                store=self.store,
                certificates=None,
                reactor=self.clock,
                now=lambda: NOW,
                commit=lambda draft, envelope, headers: draft.commit(envelope, headers),
                in_thread=deferToThread,
            )
        )
        return Talk(self, None)

    async def test_octets_that_stay_are_kept(self):
        """Only the fields go; the draft as it came leaves nothing behind."""
        content = Speaks(content=lambda *_: Finding(without=(Without("x-away"),)))
        talk = self.place(content)
        talk.say("EHLO c.example", "MAIL FROM:<a@c.example>", "RCPT TO:<bob@example.org>", "DATA")
        for at in range(0, len(HEADER + BODY), 1 << 16):
            talk.send((HEADER + BODY)[at : at + (1 << 16)])
        talk.send(b".\r\n")
        while not (said := talk.heard()):
            pause = Deferred()
            reactor.callLater(0.01, pause.callback, None)
            await pause
        assert said[0].startswith("250 2.0.0 OK, queued as "), said
        [entry] = await self.store.find()
        assert said[0].endswith(entry.id)

        def read():
            with entry.message.content.body() as file:
                return file.read()

        expected = b"Subject: x\r\nX-Stays: 2\r\n\r\n" + BODY
        assert await deferToThread(read) == expected
        assert f"id {entry.id}".encode() in entry.message.content.prefix
        assert [path.name for path in (self.folder / "queue" / "bodies").iterdir()] == [
            f"{entry.id}.body"
        ]
        assert "rewritten" in self.watching.verdicts("reception")

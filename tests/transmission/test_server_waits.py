"""How long a connection waits for its server."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from mailframe.smtp.address import Mailbox
from mailframe.smtp.client import ClientDialogue
from mailframe.smtp.command import Data, Mail, Rcpt, Rset
from mailframe.transmission.connection import Ended, ServerConnection

MAIL, RCPT = Mail(None), Rcpt(Mailbox("r", "peer.example"))


class TestWaits(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.connection = ServerConnection(ClientDialogue(), "mx.peer.example", self.clock)
        self.connection.makeConnection(StringTransport())
        greeted = self.connection.listen(300)
        self.connection.dataReceived(b"220 hi\r\n")
        self.successResultOf(greeted)

    def ask(self, *commands: Any, timeout: float) -> Deferred[Any]:
        return self.connection.ask(*commands, timeout=timeout)

    def test_each_reply_has_its_own_time(self) -> None:
        """RFC 5321 section 4.5.3.2: the timeout is for one command, however many are asked."""
        asked = self.ask(MAIL, RCPT, Data(), timeout=300)
        for line in (b"250 ok\r\n", b"250 ok\r\n"):
            self.clock.advance(299)
            self.connection.dataReceived(line)
        self.clock.advance(299)
        self.assertNoResult(asked)
        self.clock.advance(1)
        assert self.failureResultOf(asked, Ended).value.reply.status == "4.4.2"
        assert not self.clock.getDelayedCalls()

    def test_half_a_reply_buys_no_time(self) -> None:
        """A server that says a letter a minute is silent."""
        asked = self.ask(Rset(), timeout=300)
        for letter in (b"2", b"5", b"0", b" ", b"o"):
            self.clock.advance(59)
            self.connection.dataReceived(letter)
        self.clock.advance(5)
        self.failureResultOf(asked, Ended)

    def test_a_short_wait_after_a_long_one(self) -> None:
        """And a long one after a short one: each ends when it should."""
        for times in ((600, 20, 300), (20, 600), (300, 300)):
            self.setUp()
            for seconds in times:
                asked = self.ask(Rset(), timeout=seconds)
                self.clock.advance(seconds / 2)
                self.connection.dataReceived(b"250 ok\r\n")
                self.successResultOf(asked)
            asked = self.ask(Rset(), timeout=times[-1])
            self.clock.advance(times[-1] - 1)
            self.assertNoResult(asked)
            self.clock.advance(1)
            self.failureResultOf(asked, Ended)

    def test_nothing_is_waited_for(self) -> None:
        """A connection that rests has no deadline, and later waits begin anew."""
        self.successResultOf(self._reset())
        self.clock.advance(10_000)
        assert self.connection.ended is None and not self.clock.getDelayedCalls()
        self.successResultOf(self._reset())
        self.connection.drop()
        assert not self.clock.getDelayedCalls()

    def _reset(self) -> Deferred[Any]:
        asked = self.ask(Rset(), timeout=20)
        self.connection.dataReceived(b"250 ok\r\n")
        return asked

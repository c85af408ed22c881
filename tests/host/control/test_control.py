"""What the control socket answers, row by row."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from waiting_room import NOW, WaitingRoom, entry
from zope.interface import implementer

from mailframe.host.control import Control, ControlFactory
from mailframe.host.control.question import PAGE
from mailframe.interfaces import IInspected
from mailframe.message import Content, Event


class Memory:
    """A trace of two events."""

    def events(self, of: str, limit: int = 1000) -> Sequence[Event]:
        events = [
            Event(NOW, "relay", "250 OK", "inbound", of, facts={"recipient": "b@b.example"}),
            Event(NOW + 1, "queue", "accepted", id=of),
        ]
        return events[:limit]


class ControlTests(SynchronousTestCase):
    """A factory, a transport, and JSON lines."""

    def setUp(self) -> None:
        self.looks: list[list[str]] = []
        self.failing: dict[str, str] | None = {}
        self.store = WaitingRoom(*(entry(number) for number in range(1, 4)))
        self.connect(Memory())

    def connect(self, trace: Any, **more: Any) -> None:
        """A new asker of a host with this trace."""
        control = Control(
            store=self.store, trace=trace, look=self.look, now=lambda: NOW,
            in_thread=maybeDeferred, hostname="mx.example.org", **more,
        )  # fmt: skip
        self.factory = ControlFactory(control)
        self.protocol = self.factory.buildProtocol(None)
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)

    def look(self, domains: Collection[str]) -> dict[str, str] | None:
        self.looks.append(sorted(domains))
        return self.failing

    def lines(self) -> list[dict[str, Any]]:
        """What was written since the last look."""
        text = self.transport.value()
        self.transport.clear()
        return [json.loads(line) for line in text.splitlines()]

    def ask(self, question: str, **fields: Any) -> list[Any]:
        """The rows of a good answer."""
        self.send({"ask": question, **fields})
        *rows, last = self.lines()
        self.assertEqual(last, {"done": True})
        return [row["row"] for row in rows]

    def refusal(self, request: Any) -> str:
        """The text of an answer that is only an error."""
        self.send(request)
        (line,) = self.lines()
        return line["error"]

    def send(self, request: Any) -> None:
        self.protocol.dataReceived(json.dumps(request).encode() + b"\n")

    def test_ping(self) -> None:
        """Says whose host it is and which process."""
        (row,) = self.ask("ping")
        self.assertEqual(row["hostname"], "mx.example.org")
        self.assertIsInstance(row["pid"], int)

    def test_find_pages(self) -> None:
        """A page goes on after an id; addresses, times and last replies are plain values."""
        self.assertEqual([row["id"] for row in self.ask("find", limit=2)], ["M0001", "M0002"])
        (row,) = self.ask("find", after="M0002")
        self.assertEqual(row["id"], "M0003")
        self.assertEqual(row["sender"], "alice@a.example")
        self.assertEqual(row["signals"], {"spf": "pass"})
        self.assertEqual(
            row["recipients"],
            [
                {
                    "address": "bob@b.example", "original": "alias@b.example",
                    "due": NOW + 60, "attempts": 1, "last": "451 4.3.0 Not now",
                    "remote": "mx.b.example",
                }
            ],
        )  # fmt: skip

    def test_find_by_address_and_hold(self) -> None:
        """The store's own selections are passed on; the null sender is an empty text."""
        self.store.entries["M0009"] = replace(entry(9, "", "carol@c.example"), hold=True)
        (row,) = self.ask("find", address="@c.example")
        self.assertEqual((row["id"], row["sender"], row["hold"]), ("M0009", "", True))
        self.assertEqual(len(self.ask("find", hold=False)), 3)

    def test_a_page_is_bounded(self) -> None:
        """Whoever asks for more gets a page."""
        self.store = WaitingRoom(*(entry(number) for number in range(PAGE + 5)))
        self.connect(None)
        self.send({"ask": "find", "limit": 10**6})
        self.drain()
        self.assertEqual(len(self.lines()), PAGE + 1)

    def drain(self) -> None:
        """Let a paused answer go on, as a transport does when its buffer is empty."""
        self.transport.producer.resumeProducing()

    def test_get(self) -> None:
        """One message, or no row."""
        (row,) = self.ask("get", id="M0002")
        self.assertEqual(row["id"], "M0002")
        self.assertEqual(self.ask("get", id="nothing"), [])

    def test_content(self) -> None:
        """The octets come in pieces, the prefix first; no message, no row."""
        rows = self.ask("content", id="M0002")
        octets = b"".join(base64.b64decode(row["octets"]) for row in rows)
        self.assertEqual(octets, b"Received: by us\r\nSubject: 2\r\n\r\nHi\r\n")
        self.assertEqual(self.ask("content", id="nothing"), [])

    def test_change(self) -> None:
        """The ids that changed; what may be due now is looked for, a hold is not.

        Both insist on places that are left alone, those of their messages.
        """
        rows = self.ask("change", ids=["M0001", "nothing"], verb="hold")
        self.assertEqual(rows, [{"id": "M0001"}])
        self.assertTrue(self.store.entries["M0001"].hold)
        self.assertEqual(self.looks, [])
        self.ask("change", ids=["M0001"], verb="release")
        self.ask("change", ids=["M0001"], verb="retry")
        self.assertEqual(self.looks, [["b.example"], ["b.example"]])
        self.assertEqual(self.store.entries["M0001"].pending[0].due, NOW)
        self.ask("change", ids=["nothing"], verb="retry")
        self.assertEqual(self.looks, [["b.example"], ["b.example"]])

    def test_what_is_in_the_way_of_a_retry(self) -> None:
        """A hold, or a place that fails, if all of the message goes there; or that no host runs."""
        self.store.entries["M0002"] = replace(entry(2), hold=True)
        self.store.entries["M0004"] = entry(4, "a@a.example", "carol@c.example")
        ids = ["M0001", "M0002", "M0004"]
        self.failing = {"b.example": "smtp to mx.b.example: 451 4.4.1 Dead"}
        self.assertEqual(
            self.ask("change", ids=ids, verb="retry"),
            [
                {"id": "M0001", "after": "smtp to mx.b.example: 451 4.4.1 Dead"},
                {"id": "M0002", "hold": True},
                {"id": "M0004"},
            ],
        )
        self.failing = None
        rows = self.ask("change", ids=["M0001"], verb="retry")
        self.assertEqual(rows, [{"id": "M0001", "host": False}])

    def test_gauges(self) -> None:
        """A row for each thing that a part tells of itself, bounded; one part can be asked for."""

        @implementer(IInspected)
        class Part:
            def __init__(self, rows: int) -> None:
                self.rows = rows

            def state(self) -> list[dict[str, object]]:
                return [{"number": number} for number in range(self.rows)]

        self.connect(None, inspected=lambda: [("a", Part(2)), ("b", Part(PAGE + 5))])
        rows = self.ask("gauges", of="a")
        self.assertEqual(rows, [{"of": "a", "worker": 0, "number": n} for n in range(2)])
        self.send({"ask": "gauges"})
        self.drain()
        self.assertEqual(len(self.lines()), 2 + PAGE + 1)

    def test_summary(self) -> None:
        """Counts, when the next is due, and a row for each damaged entry."""
        self.store.damaged = ["corrupt/x: no end"]
        counts, damaged = self.ask("summary")
        self.assertEqual(counts["counts"], {"messages": 3, "held": 0})
        self.assertEqual(counts["next_due"], NOW + 60)
        self.assertEqual(damaged, {"corrupt": "corrupt/x: no end"})

    def test_trace(self) -> None:
        """Events in order, all their fields."""
        first, second = self.ask("trace", of="M0001")
        self.assertEqual(first["facts"], {"recipient": "b@b.example"})
        self.assertEqual((first["stage"], second["stage"]), ("relay", "queue"))
        self.assertEqual(len(self.ask("trace", of="M0001", limit=1)), 1)

    def test_refusals(self) -> None:
        """A request that makes no sense is answered in words, and the next one still works."""
        self.assertEqual(self.refusal({"ask": "dance"}), "unknown question 'dance'")
        self.assertEqual(self.refusal([1]), "a request is a JSON object")
        self.assertIn("unexpected keyword", self.refusal({"ask": "find", "colour": 1}))
        self.assertIn("unknown verb", self.refusal({"ask": "change", "ids": [], "verb": "x"}))
        too_many = {"ask": "change", "ids": ["M"] * (PAGE + 1), "verb": "hold"}
        self.assertIn("at most", self.refusal(too_many))
        self.protocol.dataReceived(b"nonsense\n")
        self.assertIn("error", self.lines()[0])
        self.assertEqual(len(self.ask("ping")), 1)

    def test_without_a_queue_or_a_trace(self) -> None:
        """What the composition has not is said."""
        self.store = None  # type: ignore[assignment]
        self.connect(None)
        self.assertIn("no [queue]", self.refusal({"ask": "summary"}))
        self.assertIn("[[observe]]", self.refusal({"ask": "trace", "of": "M0001"}))

    def test_a_store_that_cannot(self) -> None:
        """An OSError is told in its words."""
        self.store.counts = lambda: Deferred.fromCoroutine(fail(OSError(5, "Input/output error")))
        self.assertIn("Input/output error", self.refusal({"ask": "summary"}))

    def test_a_bug_is_logged(self) -> None:
        """Anything else is the host's fault: logged, told by its class, and not fatal."""
        self.store.counts = lambda: Deferred.fromCoroutine(fail(ZeroDivisionError("secret")))
        error = self.refusal({"ask": "summary"})
        self.assertIn("ZeroDivisionError", error)
        self.assertNotIn("secret", error)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(len(self.ask("ping")), 1)

    def test_requests_wait_for_their_turn(self) -> None:
        """Two requests in one go are answered one after the other."""
        waiting: Deferred[dict[str, int]] = Deferred()
        self.store.counts = lambda: waiting  # type: ignore[assignment, method-assign, return-value]
        two = b'{"ask": "summary"}\n{"ask": "ping"}\n'
        self.protocol.dataReceived(two)
        self.assertEqual(self.lines(), [])
        waiting.callback({"messages": 7})
        rows = self.lines()
        self.assertEqual(rows[0]["row"]["counts"], {"messages": 7})
        self.assertEqual(rows[2]["row"]["hostname"], "mx.example.org")

    def test_rows_wait_for_the_reader(self) -> None:
        """A full transport stops the rows until it is empty again."""
        self.transport.producer.pauseProducing()
        self.send({"ask": "find"})
        self.assertEqual(self.lines(), [])
        self.drain()
        self.assertEqual(len(self.lines()), 4)

    def test_a_reader_that_goes_away(self) -> None:
        """The answer breaks off in the middle, and the opened content is closed."""
        opened = io.BytesIO(b"x")
        message = replace(entry(1).message, content=Content(b"", lambda: opened, 1))
        self.store.entries["M0001"] = replace(entry(1), message=message)
        self.transport.producer.pauseProducing()
        self.send({"ask": "content", "id": "M0001"})
        self.protocol.connectionLost()
        self.assertEqual(self.lines(), [])
        self.assertTrue(opened.closed)
        self.assertEqual(self.factory.askers, set())

    def test_a_request_without_end(self) -> None:
        """Too long a line ends the connection."""
        self.protocol.dataReceived(b"x" * (70 << 10))
        self.assertIn("too long", self.lines()[0]["error"])
        self.assertTrue(self.transport.disconnecting)

    def test_close_hangs_up(self) -> None:
        """At the end of the host every asker is cut off."""
        self.factory.close()
        self.assertTrue(self.transport.disconnected)


async def fail(wrong: Exception) -> Any:
    raise wrong

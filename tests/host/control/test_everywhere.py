"""One worker asks all of its host: the answers become one, or it is said who did not answer."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IReactorUNIX
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from mailframe.host.control import Control, ControlFactory, Refused, ask_everywhere
from mailframe.interfaces import IInspected


@implementer(IInspected)
class Part:
    """A part with one row of state."""

    def __init__(self, number: int) -> None:
        self.number = number

    def state(self) -> list[dict[str, object]]:
        return [{"is": self.number}]


def control(worker: int, workers: int = 3) -> Control:
    """Of one worker, which has a part and no queue."""
    return Control(
        store=None,
        trace=None,
        look=lambda domains: None,
        now=lambda: 0.0,
        in_thread=maybeDeferred,
        hostname="mx.example.org",
        workers=workers,
        worker=worker,
        inspected=lambda: [("part", Part(worker))],
    )


class HangsUp(Protocol):
    """Takes a question, and goes."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(b'{"row": {"is": 7}}\n')  # type: ignore[union-attr]
        self.transport.loseConnection()  # type: ignore[union-attr]


class TestEverywhere(TestCase):
    timeout = 20

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mf"))

    def listen(self, number: int, factory: Any) -> None:
        unix: IReactorUNIX = reactor  # type: ignore[assignment]
        port: Any = unix.listenUNIX(str(self.folder / str(number)), factory)
        self.addCleanup(port.stopListening)

    async def ask(self, question: str, workers: int = 3, **fields: Any) -> list[Any]:
        return await ask_everywhere(
            control(1, workers), lambda n: self.folder / str(n), reactor, question, **fields
        )

    async def test_all_answer(self) -> None:
        """In the order of the workers, this one among them."""
        for number in (0, 2):
            self.listen(number, ControlFactory(control(number)))
        rows = await self.ask("gauges", of="part")
        assert [(row["worker"], row["is"]) for row in rows] == [(0, 0), (1, 1), (2, 2)]

    async def test_one_worker_asks_nobody(self) -> None:
        """There is no socket to ask."""
        [row] = await self.ask("gauges", workers=1, of="part")
        assert row["is"] == 1

    async def test_what_any_worker_knows_is_asked_of_none(self) -> None:
        """Without a part of the queue for each."""
        [row] = await self.ask("ping")
        assert row["workers"] == 3

    async def test_who_does_not_answer_is_named(self) -> None:
        """One that is not there, one that hangs up."""
        self.listen(0, ControlFactory(control(0)))
        with self.assertRaisesRegex(Refused, "worker 2 does not answer: ConnectError"):
            await self.ask("gauges")
        self.listen(2, Factory.forProtocol(HangsUp))
        with self.assertRaisesRegex(Refused, "worker 2 does not answer: it hung up"):
            await self.ask("gauges")

    async def test_what_makes_no_sense_is_refused(self) -> None:
        """Before anybody else is asked."""
        with self.assertRaisesRegex(Refused, "unknown question"):
            await self.ask("no such question")

"""What a supervisor and its workers say to each other, at both ends of the pipes."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessTerminated
from twisted.internet.task import deferLater
from twisted.logger import Logger, LogLevel, LogPublisher, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mailframe.config import Composition, load
from mailframe.host.listening import StartError
from mailframe.host.workers.launch import MAX_TEXT, READY, STANDING_BY, WORDS, Launch
from mailframe.host.workers.main import LogToSupervisor, Orders, Words, Worker
from mailframe.host.workers.process import WorkerProcess
from mailframe.settings import HostSettings

COMPOSITION = Composition(HostSettings("mx.example.org", Path("state")), ())


class LaunchTests(SynchronousTestCase):
    """Over a pipe."""

    def test_a_composition_travels(self) -> None:
        """All of a configuration arrives: numbers of lines, plugins' own keys, limits."""
        folder = Path(tempfile.mkdtemp())
        (folder / "mailframe.toml").write_text(
            'hostname = "mx.example.org"\nstate = "state"\nworkers = 2\n'
            '[bounce]\nsender = "a@example.org"\n'
            '[[filter]]\nplugin = "limits"\n[queue]\nplugin = "sqlite"\ninline = "1K"\n'
        )
        launch = Launch(load(folder / "mailframe.toml"), 1, 2, {"mx": 5}, True)
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        os.write(writing, launch.encoded())
        os.close(writing)
        self.assertEqual(Launch.read(reading), launch)
        with self.assertRaises(EOFError):
            Launch.read(reading)


class SupervisorsEndTests(SynchronousTestCase):
    """Octets from a worker, in any pieces."""

    def setUp(self) -> None:
        self.worker = WorkerProcess(Launch(COMPOSITION, 3, 4))
        self.logged: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    def said(self, octets: bytes, descriptor: int = WORDS) -> list[tuple[str, str, str]]:
        """What is logged then."""
        self.logged.clear()
        self.worker.childDataReceived(descriptor, octets)
        return [
            (event["log_namespace"], event["log_level"].name, event["text"])
            for event in self.logged
        ]

    def test_words(self) -> None:
        """They may come in pieces; each happens once."""
        line = json.dumps({"word": STANDING_BY, "text": ""}).encode() + b"\n"
        self.said(line[:7])
        self.assertFalse(self.worker.standing_by)
        self.said(line[7:] + line)
        self.assertEqual(self.successResultOf(self.worker.standing_by.wait()), True)
        self.assertFalse(self.worker.ready)

    def test_log_lines(self) -> None:
        """Under the worker's number and with its level; braces in the text mean nothing."""
        line = {"level": "error", "system": "x.Y", "text": "{log_source.__class__} {0}\ntwo"}
        self.assertEqual(
            self.said(json.dumps(line).encode() + b"\n"),
            [("worker 3: x.Y", "error", "{log_source.__class__} {0}\ntwo")],
        )
        line["level"] = "no level"
        self.assertEqual(self.said(json.dumps(line).encode() + b"\n")[0][1], "info")

    def test_what_makes_no_sense(self) -> None:
        """Is shown, shortened; no length of it fills the memory."""
        for octets in (b"no json\n", b'["word"]\n', b"5\n", b'{"level": "info"}\n'):
            ((_, level, text),) = self.said(octets)
            self.assertEqual((level, text.startswith("unintelligible: ")), ("warn", True))
        self.said(b"x" * (8 * MAX_TEXT))
        ((_, _, text),) = self.said(b"x")
        self.assertLess(len(text), 300)

    def test_standard_error(self) -> None:
        """Line by line; what had no line end comes at the end."""
        said = self.said(b"Traceback\n\n  File", 2)
        self.assertEqual(said, [("worker 3: stderr", "warn", "Traceback")])
        self.logged.clear()
        self.worker.processEnded(Failure(ProcessTerminated(None, 9)))
        self.assertEqual(self.logged[0]["text"], "  File")

    def test_the_end(self) -> None:
        """Whatever has not happened will not; how it ended is said, its own words first."""
        self.worker.processEnded(Failure(ProcessTerminated(None, 9)))
        self.assertEqual(self.successResultOf(self.worker.ready.wait()), False)
        self.assertEqual(self.successResultOf(self.worker.ended.wait()), "killed by signal 9")
        other = WorkerProcess(Launch(COMPOSITION))
        line = {"word": "failed", "text": "the queue is in use"}
        other.childDataReceived(WORDS, json.dumps(line).encode() + b"\n")
        other.processEnded(Failure(ProcessTerminated(1)))
        self.assertEqual(self.successResultOf(other.ended.wait()), "the queue is in use")
        other.go()
        other.kill()


class FakeHost:
    """A Host as a worker sees it."""

    def __init__(self, wrong: str = "") -> None:
        self.ready: Deferred[None] = Deferred()
        self.wrong = wrong
        self.retired: Deferred[None] = Deferred()
        self.calls: list[str] = []

    def privilegedStartService(self) -> None:
        self.calls.append("privileged")

    def startService(self) -> None:
        self.calls.append("start")
        if self.wrong:
            raise StartError(self.wrong)
        self.ready.callback(None)

    def retire(self) -> Deferred[None]:
        self.calls.append("retire")
        return self.retired

    def close_ports(self) -> None:
        self.calls.append("close")

    async def stopService(self) -> None:
        self.calls.append("stop")


class WorkersEndTests(TestCase):
    """A worker's words arrive in a pipe; its orders come from another."""

    def setUp(self) -> None:
        self.reading, writing = os.pipe()
        os.set_blocking(self.reading, False)
        self.words = Words(writing)
        self.addCleanup(os.close, self.reading)
        self.addCleanup(os.close, writing)
        self.stops = 0

    def stop(self) -> None:
        """As the reactor has it."""
        self.stops += 1

    def said(self) -> list[dict[str, str]]:
        """All since the last look."""
        try:
            return [json.loads(line) for line in os.read(self.reading, 1 << 20).splitlines()]
        except BlockingIOError:
            return []

    def worker(self, host: Any) -> Worker:
        return Worker(host, self, self.words)

    async def test_a_life(self) -> None:
        """Go, retire, and when the last client has gone, stop, with a word at each step."""
        host = FakeHost()
        worker = self.worker(host)
        worker.obey("go")
        self.assertEqual(self.said(), [{"word": READY, "text": ""}])
        worker.obey("retire")
        self.assertEqual(self.stops, 0)
        host.retired.callback(None)
        worker.obey("stop")
        self.assertEqual(self.stops, 1)
        await worker.ending()
        self.assertEqual(host.calls, ["privileged", "start", "retire", "close", "stop"])
        self.assertEqual(self.said(), [{"word": "closed", "text": ""}])

    async def test_a_start_that_fails(self) -> None:
        """Says why, ends with status 1, and stops nothing that did not begin."""
        host = FakeHost("the queue is in use")
        worker = self.worker(host)
        worker.obey("go")
        self.assertEqual((self.stops, worker.status), (1, 1))
        self.assertEqual(self.said(), [{"word": "failed", "text": "the queue is in use"}])
        await worker.ending()
        self.assertEqual(host.calls, ["privileged", "start"])

    def test_retired_before_it_went(self) -> None:
        """Then there is nothing to wait for."""
        self.worker(FakeHost()).obey("retire")
        self.assertEqual(self.stops, 1)

    async def test_orders(self) -> None:
        """A word a line, in any pieces; the end of the pipe is the order to stop."""
        reading, writing = os.pipe()
        obeyed: list[str] = []
        orders = Orders(reactor, obeyed.append, reading)
        orders.startReading()
        for octets, expected in ((b"g", []), (b"o\nreti", ["go"]), (b"re\n", ["go", "retire"])):
            os.write(writing, octets)
            while obeyed != expected:
                await deferLater(reactor, 0.001)
        os.close(writing)
        while obeyed[-1] != "stop":
            await deferLater(reactor, 0.001)
        os.close(reading)

    def test_log(self) -> None:
        """Level, place and text; a failure with its traceback; nothing that is for debugging."""
        log = Logger("a.place", observer=LogPublisher(LogToSupervisor(self.words)))
        log.debug("not this")
        log.warn("{count} of them", count=3)
        try:
            raise ValueError("wrong")
        except ValueError:
            log.failure("no")
        log.emit(LogLevel.info, "x" * (2 * MAX_TEXT))
        first, second, third = self.said()
        self.assertEqual(first, {"level": "warn", "system": "a.place", "text": "3 of them"})
        self.assertIn('raise ValueError("wrong")', second["text"])
        self.assertEqual(len(third["text"]), MAX_TEXT)

    def test_nobody_listens(self) -> None:
        """A supervisor that is gone does not make its worker fail."""
        reading, writing = os.pipe()
        os.close(reading)
        Words(writing).say(READY)
        os.close(writing)

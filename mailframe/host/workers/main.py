"""One worker process: `python -m mailframe.host.workers.main`. Only the supervisor starts it."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.fdesc import readFromFD, setNonBlocking
from twisted.logger import (
    ILogObserver,
    LogEvent,
    LogLevel,
    formatEvent,
    globalLogBeginner,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from ...config import ConfigErrors
from ..listening import StartError
from ..service import Host, steady
from ..startup import spare_the_collector
from .launch import CLOSED, FAILED, LOCK, MAX_TEXT, ORDERS, READY, STANDING_BY, WORDS, Launch


class Words:
    """Tells the supervisor words and log lines. Never raises: the supervisor may be gone."""

    def __init__(self, descriptor: int = WORDS) -> None:
        self._descriptor = descriptor

    def say(self, word: str, text: str = "") -> None:
        """Say one of the words in `launch`."""
        self._write({"word": word, "text": text})

    def log(self, level: str, system: str, text: str) -> None:
        """Send a text for the supervisor's log; it may have several lines."""
        self._write({"level": level, "system": system, "text": text[:MAX_TEXT]})

    def _write(self, line: dict[str, str]) -> None:
        octets = json.dumps(line).encode("ascii") + b"\n"
        try:
            while octets:
                octets = octets[os.write(self._descriptor, octets) :]
        except OSError:
            pass  # the supervisor is gone, which the end of its orders says as well


@implementer(ILogObserver)
class LogToSupervisor:
    """Sends this process's log to the supervisor's log."""

    def __init__(self, words: Words) -> None:
        self._words = words

    def __call__(self, event: LogEvent) -> None:
        level = event.get("log_level") or LogLevel.info
        if level is LogLevel.debug:
            return
        text = formatEvent(event)
        failure = event.get("log_failure")
        if isinstance(failure, Failure):
            text = f"{text}\n{failure.getTraceback()}"
        system = event.get("log_system") or event.get("log_namespace") or "-"
        if text:
            self._words.log(level.name, str(system), text)


class Orders(FileDescriptor):
    """Reads the supervisor's orders, one word in a line; the end of the pipe means "stop"."""

    def __init__(self, reactor: Any, obey: Any, descriptor: int = ORDERS) -> None:
        super().__init__(reactor)
        self._descriptor = descriptor
        self._obey = obey
        self._octets = b""
        setNonBlocking(descriptor)

    def fileno(self) -> int:
        """The descriptor that is read."""
        return self._descriptor

    def doRead(self) -> Any:
        """Called by Twisted when there is something to read."""
        return readFromFD(self._descriptor, self._received)

    def _received(self, octets: bytes) -> None:
        *lines, self._octets = (self._octets + octets).split(b"\n")
        for line in lines:
            self._obey(line.decode("ascii", "replace"))

    def connectionLost(self, reason: Any) -> None:
        """Called by Twisted when the supervisor is gone."""
        super().connectionLost(reason)
        self._obey("stop")


class Worker:
    """One Host, and the orders for it."""

    def __init__(self, host: Host, reactor: Any, words: Words) -> None:
        self._host = host
        self._reactor = reactor
        self._words = words
        self._going = self._stopping = False
        self.status = 0
        host.ready.addCallback(lambda _: words.say(READY))

    def obey(self, order: str) -> None:
        """Do what the supervisor orders: "go", "retire" or "stop"."""
        if self._stopping:
            return
        if order == "go":
            self._go()
        elif order == "retire" and self._going:
            self._retire()
        else:
            self._stop()

    def _go(self) -> None:
        try:
            self._host.privilegedStartService()
            self._host.startService()
        except StartError as wrong:
            self._words.say(FAILED, str(wrong))
            self.status = 1
            self._stop()
        else:
            self._going = True

    def _retire(self) -> None:
        self._host.retire().addBoth(lambda _: self._stop())

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._reactor.stop()

    def take_signals(self) -> None:
        """Treat SIGTERM and SIGINT as the order "stop".

        They may come to the whole process group, after the supervisor has ordered it already.
        """

        def stop(*_signal: object) -> None:
            self._reactor.callFromThread(self._stop)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)

    def ending(self) -> Deferred[None]:
        """The reactor is about to stop, by an order or a signal: stop the host gracefully first."""
        self._stopping = True
        return Deferred.fromCoroutine(self._end())

    async def _end(self) -> None:
        if self._going:
            await maybeDeferred(self._host.close_ports)
            self._words.say(CLOSED)
            await self._host.stopService()


def main() -> None:
    """Run the worker from its start to its end."""
    from twisted.internet import reactor

    launch = Launch.read(ORDERS)
    # Programs that plugins start must not inherit these.
    for descriptor in (ORDERS, WORDS, LOCK, *launch.sockets.values()):
        os.set_inheritable(descriptor, False)
    if launch.python_path is None:
        os.environ.pop("PYTHONPATH", None)
    else:
        os.environ["PYTHONPATH"] = launch.python_path
    words = Words()
    globalLogBeginner.beginLoggingTo([LogToSupervisor(words)], redirectStandardIO=False)
    steady(reactor)
    try:
        host = Host(launch.composition, reactor, launch=launch)
    except (ConfigErrors, StartError) as wrong:
        words.say(FAILED, str(wrong))
        raise SystemExit(1) from None
    spare_the_collector()
    worker = Worker(host, reactor, words)
    running: Any = reactor
    running.addSystemEventTrigger("before", "shutdown", worker.ending)
    running.callWhenRunning(worker.take_signals)
    Orders(reactor, worker.obey).startReading()
    words.say(STANDING_BY)
    running.run()
    sys.exit(worker.status)


if __name__ == "__main__":
    main()

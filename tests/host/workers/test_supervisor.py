"""A supervisor in this process, its workers real ones."""

from __future__ import annotations

import json
import os
import shutil
import signal
import smtplib
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from test_twistd import configure
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from mailframe.config import Composition, ConfigErrors, load
from mailframe.host import make_service
from mailframe.host.listening import StartError
from mailframe.host.workers.supervisor import Supervisor


async def until(what: Callable[[], Any]) -> None:
    """Wait for it; the test's own timeout is the limit."""
    while not what():
        await deferLater(reactor, 0.02)


class SupervisorTests(TestCase):
    """Each test has a folder; its supervisor is stopped at the end."""

    timeout = 40

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.file = configure(self.folder, top="workers = 2")
        self.state = self.folder / "state"

    async def running(self) -> Supervisor:
        """A supervisor whose workers are ready."""
        supervisor = Supervisor(load(self.file), reactor)
        supervisor.privilegedStartService()
        supervisor.startService()
        self.addCleanup(self.stop, supervisor)
        await until((self.state / "ports").exists)
        return supervisor

    def stop(self, supervisor: Supervisor) -> Any:
        return supervisor.stopService() if supervisor.running else None

    def pids(self, supervisor: Supervisor) -> list[int]:
        """Of the workers at work."""
        return [worker.pid for slot in supervisor.slots for worker in slot.processes]

    async def deliver(self, supervisor: Supervisor) -> None:
        """A message is accepted."""
        host, port = supervisor.ports["mx"]

        def send() -> None:
            with smtplib.SMTP(host, port, "client.example", 10) as client:
                client.sendmail("b@b.example", ["alice@example.org"], b"Subject: x\r\n\r\nx\r\n")

        await deferToThread(send)

    def test_made_by_the_number_of_workers(self) -> None:
        """One is a host in this process, more have a supervisor."""
        self.assertIsInstance(make_service(self.file), Supervisor)

    async def test_a_life(self) -> None:
        """Says where it is when all are ready; afterwards the folder and the ports are free."""
        supervisor = await self.running()
        ports = json.loads((self.state / "ports").read_text())
        self.assertEqual(tuple(ports["mx"]), supervisor.ports["mx"])
        self.assertEqual(len(set(self.pids(supervisor))), 2)
        await self.deliver(supervisor)
        await supervisor.stopService()
        self.assertEqual(self.pids(supervisor), [])
        self.assertEqual(
            sorted(path.name for path in self.state.iterdir()), ["lock", "queue", "secret"]
        )
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(tuple(ports["mx"]), 5)

    async def test_a_worker_dies(self) -> None:
        """Another takes its place; the first one's sibling does not notice."""
        supervisor = await self.running()
        first, second = self.pids(supervisor)
        os.kill(first, signal.SIGKILL)
        await until(lambda: len(set(self.pids(supervisor)) - {first}) == 2)
        self.assertIn(second, self.pids(supervisor))
        await self.deliver(supervisor)

    async def test_reload(self) -> None:
        """All are others afterwards; a second wish while it reloads is granted after it."""
        supervisor = await self.running()
        before = self.pids(supervisor)
        (self.folder / "mailboxes").write_text("bob\nalice\n")
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: supervisor._reloading)
        supervisor.reload()
        await until(lambda: not supervisor._reloading)
        after = self.pids(supervisor)
        self.assertEqual(len({*before, *after}), 4)
        await self.deliver(supervisor)

    async def test_reloads_that_cannot_be(self) -> None:
        """A wrong file, and what is fixed while it runs: nothing changes."""
        supervisor = await self.running()
        before, text = self.pids(supervisor), self.file.read_text()
        for was, now in (
            ("workers = 2", "workers = 3"), ('"tcp:0', '"tcp:1'), ("inbound", "inbuond"),
            ('"state"', '"elsewhere"'),
        ):  # fmt: skip
            self.file.write_text(text.replace(was, now))
            supervisor.reload()
            self.assertFalse(supervisor._reloading)
        self.assertEqual(self.pids(supervisor), before)

    async def test_a_composition_of_python(self) -> None:
        """Without a file a reload replaces the workers by others of the same kind."""
        read = load(self.file)
        (section,) = [each for each in read.sections if each.stage == "route"]
        self.assertEqual(section.plugin, "mailboxes")
        sections = tuple(each for each in read.sections if each.stage not in ("route", "relay"))
        supervisor = Supervisor(Composition(read.settings, sections), reactor)
        supervisor.privilegedStartService()
        supervisor.startService()
        self.addCleanup(supervisor.stopService)
        await until((self.state / "ports").exists)
        before = self.pids(supervisor)
        supervisor.reload()
        await until(lambda: not supervisor._reloading)
        self.assertEqual(len({*before, *self.pids(supervisor)}), 4)

    async def test_stopped_while_it_reloads(self) -> None:
        """Whoever stood by goes as well."""
        supervisor = await self.running()
        supervisor.reload()
        await until(lambda: len(self.pids(supervisor)) == 3)
        await supervisor.stopService()
        self.assertEqual(self.pids(supervisor), [])
        await until(lambda: not supervisor._reloading)

    def test_what_is_found_before_any_worker_begins(self) -> None:
        """A wrong plugin, no queue, a taken port, a state folder in use: as with one process."""
        text = self.file.read_text()
        self.file.write_text(text.replace('file = "mailboxes"', 'file = "nowhere/x"\nwhat = 1'))
        with self.assertRaises(ConfigErrors):
            Supervisor(load(self.file), reactor)
        self.file.write_text(text)
        read = load(self.file)
        sections = tuple(each for each in read.sections if each.stage != "queue")
        with self.assertRaisesRegex(StartError, "queue"):
            Supervisor(Composition(read.settings, sections, self.file), reactor)
        first = Supervisor(read, reactor)
        first.privilegedStartService()
        self.addCleanup(first._listening.stop)
        with self.assertRaisesRegex(StartError, "in use by another process"):
            Supervisor(read, reactor).privilegedStartService()
        port = first.ports["mx"][1]
        self.file.write_text(text.replace("tcp:0", f"tcp:{port}").replace('"state"', '"other"'))
        with self.assertRaisesRegex(StartError, "EADDRINUSE"):
            Supervisor(load(self.file), reactor).privilegedStartService()
        first._state.let_go()

"""The commands beside a running host: through its socket, never through its files."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from click.testing import Result
from small_host import command, configure, enqueue
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from mailframe.config import load
from mailframe.eventual import at_once
from mailframe.hooks.breaker import FAULTS_TO_OPEN
from mailframe.host import Host
from mailframe.message import Outcome, Status
from mailframe.queue.destinations import Entrance
from mailframe.queue.parcels import Parcel
from mailframe.smtp.reply import Reply
from mailframe.testing.values import recipient


class RunningHostTests(TestCase):
    """A host in this process; the commands run in a thread."""

    timeout = 30

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mailframe"))
        self.file = configure(self.folder)
        self.host = Host(load(self.file), reactor)
        self.host.privilegedStartService()
        self.host.startService()
        self.addCleanup(self.host.stopService)

    async def command(self, *words: str) -> Result:
        """What a command says."""
        said: Result = await deferToThread(command, self.file, *words)
        return said

    async def held(self) -> str:
        """The id of a message on hold, which the scheduler leaves alone."""
        store = self.host.hooks.store
        assert store is not None
        entry = await enqueue(store)
        changed = at_once(store.change([entry.id], "hold", 0.0))
        if hasattr(changed, "__await__"):
            await changed
        return entry.id

    async def test_list_and_show(self) -> None:
        """What the host's own store holds."""
        id = await self.held()
        said = await self.command("queue", "list", "--json")
        self.assertEqual([json.loads(line)["id"] for line in said.stdout.splitlines()], [id])
        said = await self.command("queue", "show", id, "--content")
        self.assertEqual(said.stdout_bytes, b"Received: by us\r\nSubject: one\r\n\r\nHi\r\n")
        said = await self.command("queue", "summary")
        self.assertIn("1  held", said.stdout)

    async def test_destinations_that_are_left_alone(self) -> None:
        """The summary names each, for how long, and its last words."""
        destinations = self.host.scheduler._destinations
        parcel = Parcel("smtp", ("smtp", "mx.dead.example"), None, True)
        dead = Outcome(recipient("a@dead.example"), Status.DEFERRED, Reply(451, "Dead", "4.4.1"))
        for _ in range(3):
            self.assertIs(destinations.enter(parcel, "M1"), Entrance.OPEN)
            destinations.leave(parcel, "M1", [dead])
        said = await self.command("queue", "summary")
        self.assertIn("left alone: smtp to mx.dead.example, for ", said.stdout)
        self.assertIn("451 4.4.1 Dead", said.stdout)
        said = await self.command("queue", "summary", "--json")
        rows = [json.loads(line) for line in said.stdout.splitlines()]
        self.assertEqual([row["failures"] for row in rows if "down_for" in row], [3])

    async def test_retry_says_what_is_in_the_way(self) -> None:
        """A hold, or a place that fails, with its last words."""
        id = await self.held()
        said = await self.command("queue", "retry", id)
        first, second = said.stdout.splitlines()
        self.assertEqual(first, "1 to be tried now")
        self.assertEqual(second, "  1 of them on hold, until they are released")
        destinations = self.host.scheduler._destinations
        parcel = Parcel("smtp", ("smtp", "[127.0.0.1]:1"), None, True)
        dead = Outcome(recipient("a@b.example"), Status.DEFERRED, Reply(451, "Dead", "4.4.1"))
        destinations.learn("b.example", parcel.place)
        while destinations.enter(parcel, "M1") is Entrance.OPEN:
            destinations.leave(parcel, "M1", [dead])
        said = await self.command("queue", "release", id)
        after = "1 of them one first, then the others if it works"
        first, second = said.stdout.splitlines()
        self.assertEqual(first, "1 released")
        self.assertTrue(second.startswith(f"  {after}: smtp to [127.0.0.1]:1: 451 4.4.1 "), second)

    async def test_plugins_that_are_left_alone(self) -> None:
        """The summary names each that is bypassed, for how long, and after how many faults."""
        [question] = self.host.hooks._deliveries.questions()
        said = await self.command("queue", "summary")
        self.assertNotIn("left alone", said.stdout)
        for _ in range(FAULTS_TO_OPEN):
            question._breaker.failed(reactor.seconds())
        said = await self.command("queue", "summary")
        place = f"deliver plugin {question.bound.name} at deliver"
        self.assertIn(f"left alone: {place}, for ", said.stdout)
        self.assertIn(f": {FAULTS_TO_OPEN} faults in a row", said.stdout)
        said = await self.command("queue", "summary", "--json")
        rows = [json.loads(line) for line in said.stdout.splitlines()]
        [row] = [row for row in rows if "open_for" in row]
        self.assertEqual((row["of"], row["faults"]), ("hooks", FAULTS_TO_OPEN))

    async def test_release_makes_the_host_try(self) -> None:
        """A released message is attempted at once; its trace and its last reply say how."""
        id = await self.held()
        said = await self.command("queue", "release", id)
        self.assertEqual((said.exit_code, said.stdout), (0, "1 released\n"))
        recipients: list[dict[str, object]] = []
        while not (recipients and recipients[0]["last"]):
            said = await self.command("queue", "list", "--json")
            recipients = json.loads(said.stdout)["recipients"]
        self.assertTrue(str(recipients[0]["last"]).startswith("4"))
        said = await self.command("queue", "list")
        self.assertIn("1 tries, next in", said.stdout)
        said = await self.command("trace", id)
        self.assertEqual(said.exit_code, 0, said.stderr)
        self.assertIn("deliver", said.stdout)
        said = await self.command("trace", "bob@b.example", "--json")
        stages = {json.loads(line)["stage"] for line in said.stdout.splitlines()}
        self.assertIn("deliver", stages)

    async def test_delete(self) -> None:
        """Deleted is gone."""
        id = await self.held()
        said = await self.command("queue", "delete", id, "--yes")
        self.assertEqual(said.exit_code, 0, said.stderr)
        said = await self.command("queue", "show", id)
        self.assertEqual(said.exit_code, 66)

    async def test_what_the_host_refuses(self) -> None:
        """The host's own words, 69."""
        await self.held()
        self.patch(__import__("mailframe.command_line.queue").command_line.queue, "PAGE", 501)
        said = await self.command("queue", "hold", *(f"M{number}" for number in range(501)))
        self.assertEqual(said.exit_code, 69)
        self.assertIn("at most 500", said.stderr)

    async def test_user_commands_need_no_host(self) -> None:
        """Users are changed beside a running host."""
        said = await self.command("user", "list")
        self.assertEqual((said.exit_code, said.stdout), (0, ""))

"""A worker's place: kept filled, handed over on demand, given up at the stop."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailframe.config import Composition
from mailframe.host.workers.launch import Launch
from mailframe.host.workers.process import WorkerProcess
from mailframe.host.workers.slot import LONGEST_PAUSE, STEADY, Slot, pause
from mailframe.settings import HostSettings

COMPOSITION = Composition(HostSettings("mx.example.org", None), ())  # type: ignore[arg-type]
PATIENCE = 70.0


class Scripted(WorkerProcess):
    """A process that the test plays; what it is told is in `orders`."""

    def __init__(self) -> None:
        super().__init__(Launch(COMPOSITION, 1, 2))
        self.orders: list[str] = []

    def _write(self, octets: bytes) -> None:
        self.orders.append(octets.decode().strip())

    def kill(self) -> None:
        self.ends("killed")

    def works(self) -> None:
        self.standing_by.happens(True)
        self.ready.happens(True)

    def ends(self, how: str = "exit status 1") -> None:
        self.standing_by.happens(False)
        self.ready.happens(False)
        self.closed.happens(None)
        self.ended.happens(how)


class PostTests(SynchronousTestCase):
    """Time is a Clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.spawned: list[Scripted] = []
        self.slot = Slot(1, self.spawn, self.clock, PATIENCE)
        self.first = self.slot.begin()
        self.first.works()

    def spawn(self) -> Scripted:
        self.spawned.append(Scripted())
        return self.spawned[-1]

    def relieve(self, spawn: Callable[[], Scripted] | None = None) -> list[str]:
        """What comes of it, once something has."""
        came: list[str] = []
        Deferred.fromCoroutine(self.slot.relieve(spawn or self.spawn)).addCallback(came.append)
        return came

    def test_begins(self) -> None:
        """The first one is told to go at once, when it is ready to."""
        self.assertEqual(self.spawned[0].orders, ["go"])
        self.assertEqual(self.slot.processes, [self.first])

    def test_one_that_dies_is_replaced(self) -> None:
        """After a pause that doubles with each death, up to a limit, and begins anew."""
        for wait in (0.2, 0.4, 0.8):
            count = len(self.spawned)
            self.spawned[-1].ends("killed by signal 9")
            self.clock.advance(wait - 0.01)
            self.assertEqual(len(self.spawned), count)
            self.clock.advance(0.02)
            self.assertEqual(self.spawned[-1].orders, ["go"])
        self.clock.advance(STEADY)
        self.spawned[-1].ends()
        self.clock.advance(0.21)
        self.assertEqual(len(self.spawned), 5)
        self.assertEqual(pause(1000), LONGEST_PAUSE)

    def test_no_room_for_a_process(self) -> None:
        """What the system refuses now is tried again."""
        full = [OSError(11, "no more processes")]

        def spawn() -> Scripted:
            if full:
                raise full.pop()
            return self.spawn()

        self.slot._spawn = spawn
        self.spawned[0].ends()
        self.clock.advance(0.2)
        self.assertEqual(len(self.spawned), 1)
        self.clock.advance(0.4)
        self.assertEqual(len(self.spawned), 2)

    def test_relieved(self) -> None:
        """The old one lets nobody in once the new one stands by; who goes when it has ended."""
        came = self.relieve()
        old, new = self.spawned
        self.assertEqual((old.orders, new.orders), (["go"], []))
        new.standing_by.happens(True)
        self.assertEqual((old.orders, new.orders), (["go", "retire"], []))
        old.ends("exit status 0")
        self.assertEqual((new.orders, came), (["go"], []))
        new.works()
        self.assertEqual(came, [""])
        self.assertEqual(self.slot.processes, [new])
        self.clock.advance(PATIENCE)
        self.assertFalse(new.ended)

    def test_who_cannot_stand_by_relieves_nobody(self) -> None:
        """The old one goes on; its own successors are of the old kind."""
        came = self.relieve(Scripted)
        following = self.slot.processes[-1]
        assert isinstance(following, Scripted)
        following.failure = "mailframe.toml:3: no"
        following.ends()
        self.assertEqual(came, ["mailframe.toml:3: no"])
        self.assertEqual(self.spawned[0].orders, ["go"])
        self.spawned[0].ends()
        self.clock.advance(0.2)
        self.assertEqual(len(self.spawned), 2)

    def test_who_dies_before_it_is_ready_is_replaced(self) -> None:
        """Relieved by one that stood by and then failed: that is told, and there is a next one."""
        came = self.relieve()
        old, new = self.spawned
        new.standing_by.happens(True)
        old.ends()
        new.ends()
        self.assertEqual(came, ["it ended before it was ready"])
        self.clock.advance(0.2)
        self.assertEqual(self.spawned[2].orders, ["go"])

    def test_relieved_while_nobody_is_there(self) -> None:
        """The pause is cut short."""
        self.spawned[0].ends()
        came = self.relieve()
        self.spawned[1].standing_by.happens(True)
        self.assertEqual(self.spawned[1].orders, ["go"])
        self.spawned[1].works()
        self.assertEqual(came, [""])
        self.clock.advance(1)
        self.assertEqual(len(self.spawned), 2)

    def test_dies_while_the_next_one_prepares(self) -> None:
        """That one takes the place after the pause, and is not told to retire."""
        came = self.relieve()
        self.spawned[0].ends()
        self.clock.advance(0.2)
        self.assertEqual(self.spawned[1].orders, ["go"])
        self.spawned[1].works()
        self.assertEqual((came, self.spawned[1].orders), ([""], ["go"]))
        self.assertEqual(len(self.spawned), 2)

    def test_who_does_not_retire_is_killed(self) -> None:
        """In the end the new one has the place."""
        self.relieve()
        self.spawned[1].standing_by.happens(True)
        self.clock.advance(PATIENCE)
        self.assertTrue(self.spawned[0].ended)
        self.assertEqual(self.spawned[1].orders, ["go"])

    def test_stop(self) -> None:
        """All are told to stop, nobody follows; who does not stop is killed."""
        self.relieve()
        self.slot.stop()
        self.assertEqual([each.orders[-1] for each in self.spawned], ["stop", "stop"])
        self.spawned[1].ends("exit status 0")
        self.clock.advance(PATIENCE)
        self.assertEqual(self.slot.processes, [])
        self.clock.advance(LONGEST_PAUSE)
        self.assertEqual(len(self.spawned), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_while_nobody_is_there(self) -> None:
        """Then nobody comes."""
        self.spawned[0].ends()
        self.slot.stop()
        self.clock.advance(LONGEST_PAUSE)
        self.assertEqual(len(self.spawned), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

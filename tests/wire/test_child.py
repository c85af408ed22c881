"""A process of our own, from its birth to its end: real ones."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import sys
from collections.abc import Iterator

from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mailframe.wire.child import Child, Once, pause
from mailframe.wire.frames import Frames, Lines

PARROT = """
import sys
sys.stderr.write("one\\ntwo")
sys.stderr.flush()
for line in sys.stdin.buffer:
    sys.stdout.buffer.write(len(line).to_bytes(4, "big") + line)
    sys.stdout.buffer.flush()
"""


class Heard(Child):
    """Keeps all that it hears."""

    def __init__(self) -> None:
        super().__init__({1: Frames(100), 2: Lines(100)})
        self.heard: list[tuple[int, bytes]] = []
        self.over: list[str] = []
        self.answered: Once[None] = Once()

    def said(self, descriptor: int, octets: bytes) -> None:
        self.heard.append((descriptor, octets))
        if descriptor == 1:
            self.answered.happens(None)

    def is_over(self, how: str) -> None:
        self.over.append(how)
        assert not self.ended


@contextlib.contextmanager
def limited_files(most: int) -> Iterator[None]:
    """No file with this number, or a greater one, can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class ChildTests(TestCase):
    timeout = 30

    def begin(self, code: str) -> Heard:
        child = Heard()
        child.begin(reactor, ["-S", "-c", code], {0: "w", 1: "r", 2: "r"})
        self.addCleanup(child.kill)
        return child

    async def test_a_life(self) -> None:
        """It is heard, answers, ends when its input does, and says all before that is told."""
        child = self.begin(PARROT)
        assert child.pid
        child.write(0, b"hello\n")
        await child.answered.wait()
        child.unless_it_ends(reactor, 60, child.kill)  # type: ignore[arg-type]
        child.transport.closeStdin()
        assert await child.ended.wait() == "exit status 0"
        assert sorted(child.heard) == [(1, b"hello\n"), (2, b"one"), (2, b"two")]
        assert (child.over, child.pid) == (["exit status 0"], 0)
        child.write(0, b"too late\n")
        child.kill("too late")
        assert await child.ended.wait() == "exit status 0"

    async def test_too_many_open_files_are_said_and_pass(self) -> None:
        """The system's own reason; once there is room, the next one starts."""
        with limited_files(max(map(int, os.listdir("/dev/fd"))) + 1):
            held = []
            with contextlib.suppress(OSError):
                while True:
                    held.append(os.open(os.devnull, os.O_RDONLY))
            try:
                with self.assertRaises(OSError) as failed:
                    self.begin("")
            finally:
                for number in held:
                    os.close(number)
        assert failed.exception.errno == errno.EMFILE
        assert await self.begin("").ended.wait() == "exit status 0"

    async def test_files_beyond_a_lowered_limit_are_no_obstacle(self) -> None:
        """One that was inherited from the shell, say."""
        beyond = fcntl.fcntl(0, fcntl.F_DUPFD, 900)
        self.addCleanup(os.close, beyond)
        os.set_inheritable(beyond, True)
        with limited_files(beyond):
            child = self.begin(f"import os; os.fstat({beyond})")
        assert await child.ended.wait() == "exit status 1", "it is not inherited"
        assert any(b"Bad file descriptor" in octets for _, octets in child.heard)

    async def test_one_that_does_not_end_is_killed(self) -> None:
        """After so many seconds; the first word about why is the last."""
        child = self.begin(PARROT)
        child.unless_it_ends(reactor, 0.01, lambda: child.kill("too slow"))  # type: ignore[arg-type]
        assert await child.ended.wait() == "too slow"

    async def test_who_kills_it_from_outside_is_named(self) -> None:
        """By the signal's number."""
        child = self.begin("import os; os.kill(os.getpid(), 9)")
        assert await child.ended.wait() == "killed by signal 9"

    async def test_what_is_no_frame_ends_it(self) -> None:
        """Nothing that it says afterwards is believed."""
        child = self.begin("import os, time; os.write(1, b'x' * 200); time.sleep(60)")
        assert (await child.ended.wait()).startswith("said what is no answer")
        assert child.heard == []


class WithoutAProcessTests(SynchronousTestCase):
    def test_before_its_birth(self) -> None:
        """There is nobody to be written to or killed."""
        child = Heard()
        child.write(0, b"x")
        child.kill()
        assert child.pid == 0 and not child.ended

    def test_a_pipe_that_it_closed(self) -> None:
        """What is written there is lost; its end is told soon."""

        class Deaf:
            pid = 7

            def writeToChild(self, descriptor: int, octets: bytes) -> None:
                raise KeyError(descriptor)

        child = Heard()
        child.transport = Deaf()
        child.write(0, b"x")
        assert child.pid == 7

    def test_the_same_modules_as_here(self) -> None:
        """Python's path is given on, whatever the environment was."""
        child, memory = Heard(), MemoryReactorClock()
        begun = []
        memory.spawnProcess = lambda *given, **more: begun.append((given, more))  # type: ignore[method-assign]
        child.begin(memory, ["-m", "x"], {0: "w"})
        (((_, _, argv, env), more),) = begun
        assert argv[1:] == ["-m", "x"] and more == {"childFDs": {0: "w"}}
        assert set(filter(None, sys.path)) == set(env["PYTHONPATH"].split(os.pathsep))

    def test_the_wait_for_its_end_leaves_no_timer(self) -> None:
        """Once it has ended nobody waits any more."""
        clock, killed, child = Clock(), [], Heard()
        child.unless_it_ends(clock, 5, lambda: killed.append(1))
        child.ended.happens("exit status 0")
        assert clock.getDelayedCalls() == [] and not killed

    def test_pauses_double(self) -> None:
        """From the first to the longest, however many deaths there were."""
        assert [pause(deaths, 1.0, 60.0) for deaths in (1, 2, 3, 7, 100, 10**9)] == [
            1, 2, 4, 60, 60, 60,
        ]  # fmt: skip

    def test_what_happens_once_is_told_to_all(self) -> None:
        """To those who waited, and to those who come later; a second time means nothing."""
        once: Once[int] = Once()
        early = once.wait()
        assert not once
        once.happens(1)
        once.happens(2)
        assert once
        assert (self.successResultOf(early), self.successResultOf(once.wait())) == (1, 1)

"""The delivery process: real processes, and what becomes of mail when they die."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorProcess
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from mailframe.maildir import Maildir, NoSuchOwner, OverQuota
from mailframe.maildir.delivery import process
from mailframe.maildir.delivery.child import delivered, work
from mailframe.maildir.delivery.deliverer import Addressee, BeenHere, Deliverer, Rules, Task
from mailframe.maildir.delivery.frames import (
    Trouble,
    answer_frame,
    read_answer,
    read_round,
    read_rules,
    round_frame,
    rules_frame,
)
from mailframe.maildir.delivery.process import DeliveryProcess, ProcessLost
from mailframe.maildir.delivery.rounds import Rounds
from mailframe.message import Content, Message, Outcome, Route, Status
from mailframe.smtp.address import Mailbox
from mailframe.testing.values import message, recipient, site
from mailframe_plugins.deliver_maildir import Maildirs, Settings

TEXT = b"Subject: hello\r\n\r\nOne.\r\n"
OLD = b"Delivered-To: bob@example.org\r\n\r\n"


def content(body: bytes = TEXT, prefix: bytes = b"") -> Content:
    return Content(prefix, body, len(body))


def addressee(place: str, tag: str = "", address: str = "bob@example.org") -> Addressee:
    return Addressee(place, tag, "alice@client.example", address, "")


def task(folder: Path, body: bytes = TEXT, *names: str) -> Task:
    return Task(content(body), [addressee(str(folder / name)) for name in names or ("bob",)])


def rules(folder: Path, **more: Any) -> Rules:
    return Rules(hostname="mx.example.org", root=str(folder), **more)


def files(path: Path) -> list[bytes]:
    maildir = Maildir(path)
    return [maildir.file(each).read_bytes() for each in maildir.messages()]


def test_frames_say_everything() -> None:
    """Rules, rounds and answers come back as they were, odd names and null octets too."""
    given = rules(Path("/m"), octets=5, line_ends="crlf")
    assert read_rules(io.BytesIO(rules_frame(given)).read) == given
    odd = Addressee("/m/\udc80 ü\0", "täg", "", '"a b"@example.org', "x@example.org")
    own = addressee("/m/own")._replace(owner=("bob", 1001), quota=(5, 0))
    tasks = [
        Task(content(b"\0\xff" * 9, b"Received: x\r\n"), [odd, own]),
        Task(content(b""), []),
        Task(content(), [odd, addressee("/m/b")]),
    ]
    for before, after in zip(tasks, read_round(io.BytesIO(round_frame(tasks)).read), strict=True):
        assert after.content.at_hand == before.content.at_hand
        assert list(after.addressees) == list(before.addressees)


def test_an_answer_brings_errors_as_they_were() -> None:
    """Number, text and file of an OSError; our own kinds; the words of all others."""
    full = OSError(errno.ENOSPC, "No space left on device", "/m/tmp/1")
    bare = OSError("odd")
    ours = [BeenHere(), OverQuota("5S"), NoSuchOwner("no user 'x'")]
    results = [[None, full], ours, [bare, KeyError("x")], []]
    back = read_answer(answer_frame(results)[4:])
    assert [len(each) for each in back] == [2, 3, 2, 0]
    assert back[0][0] is None
    assert str(back[0][1]) == str(full) and isinstance(back[0][1], OSError)
    assert [(type(each), str(each)) for each in back[1]] == [
        (type(each), str(each)) for each in ours
    ]
    assert [str(each) for each in back[2]] == ["OSError: odd", "KeyError: 'x'"]
    assert all(isinstance(each, Trouble) for each in back[2])


def test_content_that_is_elsewhere_is_not_handed_over() -> None:
    """What must be opened may block."""
    with pytest.raises(TypeError):
        round_frame([Task(Content(b"", lambda: io.BytesIO(), 0), [])])


@pytest.mark.parametrize("cut", [0, 3, 10, -1])
def test_a_process_ends_where_its_input_ends(tmp_path: Path, cut: int) -> None:
    """A host that dies in the middle of a round leaves nothing behind, not even a part."""
    said = rules_frame(rules(tmp_path)) + round_frame([task(tmp_path)])
    sink = io.BytesIO()
    work(io.BytesIO(said + said[:cut] if cut == 0 else said[:cut]), sink)
    arrived = files(tmp_path / "bob") if (tmp_path / "bob").exists() else []
    assert len(arrived) == (cut == 0)
    answers = [answer_frame([]), answer_frame([[None]])]
    assert sink.getvalue() == b"".join(answers if cut == 0 else answers[: cut == -1])


class TestRounds(SynchronousTestCase):
    def test_a_lone_parcel_does_not_wait_and_others_go_together(self) -> None:
        """The first goes at once; what comes meanwhile in the next round, up to a batch."""
        carried: list[tuple[int, Deferred[Any]]] = []

        def carry(tasks: Sequence[Task]) -> Deferred[Any]:
            carried.append((len(tasks), Deferred()))
            return carried[-1][1]

        rounds = Rounds(carry, 1, 3)
        calls = [rounds.add(task(Path("/m"))) for _ in range(6)]
        idle = rounds.idle()
        calls[1].cancel()
        self.failureResultOf(calls[1])
        for size in (1, 3, 1):
            (found, done) = carried.pop()
            assert found == size and not carried
            self.assertNoResult(idle)
            done.callback([[None]] * size)
        assert all(self.successResultOf(call) == [None] for call in calls if call is not calls[1])
        self.successResultOf(idle)

    def test_what_one_event_adds_goes_together(self) -> None:
        """Where there is a `soon`, the first one waits for those that come with it."""
        clock = Clock()
        sizes: list[int] = []

        def carry(tasks: Sequence[Task]) -> Deferred[Any]:
            sizes.append(len(tasks))
            return succeed([[None]] * len(tasks))

        rounds = Rounds(carry, 1, 50, lambda start: clock.callLater(0, start))
        calls = [rounds.add(task(Path("/m"))) for _ in range(20)]
        assert not sizes
        clock.advance(0)
        assert sizes == [20] and all(call.called for call in calls)
        late = rounds.add(task(Path("/m")))
        idle = rounds.idle()
        self.assertNoResult(idle)
        late.cancel()
        self.failureResultOf(late)
        clock.advance(0)
        self.successResultOf(idle)
        assert sizes == [20]


class TestWithoutAProcess(SynchronousTestCase):
    def test_where_none_can_be_begun_threads_deliver(self) -> None:
        """No room for a process: it is told, mail flows, and it is tried again after a pause."""
        tried = []

        @implementer(IReactorProcess)
        class Full(Clock):
            def spawnProcess(self, *_: Any, **__: Any) -> None:
                tried.append(self.seconds())
                raise OSError(errno.EAGAIN, "no more processes")

        clock = Full()
        to = Maildirs(
            Settings(path=Path("mail/{user}")),
            site(Path(self.mktemp()).absolute(), reactor=clock, in_thread=maybeDeferred),
        )
        to.startService()
        for _ in range(10):
            call = deliver(to)
            clock.advance(0)
            (outcome,) = self.successResultOf(call)
            assert outcome.status is Status.DELIVERED
            clock.advance(0.6)
        assert tried == pytest.approx([0, 1.2, 3.6])
        self.successResultOf(to.stopService())


def deliver(to: Maildirs, text: bytes = TEXT, name: str = "bob") -> Deferred[Any]:
    aimed = recipient(f"{name}@example.org")
    mail = Message("M1", message().envelope, content(text))
    return to.deliver(mail, [Route("maildir", recipient=aimed, mailbox=aimed.address)])


async def there(process: DeliveryProcess | None) -> None:
    """Wait for it, as nobody else does."""
    assert process is not None
    while not process.is_there():
        await deferLater(reactor, 0.01)  # type: ignore[arg-type]


STRANGE = """
import sys
read, out = sys.stdin.buffer.read, sys.stdout.buffer
read(int.from_bytes(read(4), "big"))
out.write(b"\\0\\0\\0\\2[]")
out.flush()
read(1)
out.write(b"{said}")
out.flush()
sys.stderr.write("why" * 3000)
sys.stderr.flush()
read()
"""


class TestProcess(TestCase):
    timeout = 30

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.process = DeliveryProcess(reactor, rules(self.folder), "deliver.here")
        self.addCleanup(self.process.stop)

    async def test_rounds_are_delivered_one_after_the_other(self) -> None:
        """All copies of all tasks, each with its own result, by one process."""
        assert self.process.pid == 0
        (self.folder / "file").touch()
        await there(self.process)
        pid = self.process.pid
        first = self.process.deliver([task(self.folder, TEXT, "bob", "file"), task(self.folder)])
        second = self.process.deliver([task(self.folder, OLD), task(self.folder, b"x" * 200_000)])
        (fine, wrong), (also,) = await first
        assert (fine, also) == (None, None)
        assert isinstance(wrong, NotADirectoryError)
        ((here,), (large,)) = await second
        assert isinstance(here, BeenHere) and large is None
        assert sorted(map(len, files(self.folder / "bob")))[-1] > 200_000
        assert self.process.pid == pid

    async def test_it_holds_nothing_of_the_host_and_says_its_name(self) -> None:
        """Three pipes, the section in its command, no Twisted, signals left to the host."""
        await there(self.process)
        await self.process.deliver([task(self.folder)])
        about = Path(f"/proc/{self.process.pid}")
        assert sorted(path.name for path in (about / "fd").iterdir()) == ["0", "1", "2"]
        words = (about / "cmdline").read_bytes().split(b"\0")
        assert words[-3:-1] == [b"mailframe.maildir.delivery.child", b"deliver.here"]
        assert b"twisted" not in (about / "maps").read_bytes()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(self.process.pid, number)
        ((result,),) = await self.process.deliver([task(self.folder)])
        assert result is None

    async def test_a_death_loses_what_is_under_way_only(self) -> None:
        """What was answered is delivered; what was not fails; there is none for a while."""
        await there(self.process)
        await self.process.deliver([task(self.folder)])
        os.kill(self.process.pid, signal.SIGSTOP)
        lost = [self.process.deliver([task(self.folder)]) for _ in range(3)]
        os.kill(self.process.pid, signal.SIGKILL)
        for each in lost:
            with pytest.raises(ProcessLost, match="killed by signal 9"):
                await each
        assert not self.process.is_there()
        with pytest.raises(ValueError):
            self.process.deliver([])
        assert len(files(self.folder / "bob")) == 1
        assert not list((self.folder / "bob" / "tmp").iterdir())

    async def test_what_is_no_answer_ends_it(self) -> None:
        """Too long, no JSON, of the wrong shape: nothing of it is taken for a delivery."""
        for said in (
            "\\xff\\xff\\xff\\xff",
            "\\0\\0\\0\\1{",
            "\\0\\0\\0\\2[]",
            "\\0\\0\\0\\4[[1]]",
        ):
            code = STRANGE.format(said=said)
            self.patch(process, "_CHILD", ("-c", code))
            strange = DeliveryProcess(reactor, rules(self.folder), "x")
            await there(strange)
            with pytest.raises(ProcessLost, match="no answer"):
                await strange.deliver([task(self.folder)])

    async def test_one_that_does_not_end_is_ended(self) -> None:
        """Stopped by somebody, it gets so many seconds."""
        self.patch(process, "GRACE", 0.1)
        await there(self.process)
        os.kill(self.process.pid, signal.SIGSTOP)
        await self.process.stop()
        assert self.process.pid == 0 and not self.process.is_there()


class TestAgent(TestCase):
    timeout = 30

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.agent = self.make(self.folder)

    def make(self, folder: Path) -> Maildirs:
        lent = site(folder, reactor=reactor, in_thread=deferToThread, name="deliver.maildir")
        agent = Maildirs(Settings(path=Path("mail/{user}")), lent)
        agent.startService()
        self.addCleanup(agent.stopService)
        return agent

    async def there(self) -> None:
        await there(self.agent._process)

    def pid(self) -> int:
        assert self.agent._process is not None
        return self.agent._process.pid

    async def test_a_hundred_at_once_arrive_whole(self) -> None:
        """Before and after the process is there, small and large ones mixed, each once."""
        calls = []
        for n in range(100):
            calls.append(deliver(self.agent, b"%d\r\n" % n + b"x" * (n % 5 * 20_000)))
            if n == 50:
                await self.there()
        for call in calls:
            (outcome,) = await call
            assert outcome.status is Status.DELIVERED
        box = self.agent.maildir(Mailbox("bob", "example.org"))
        found = [octets.split(b"\n")[2] for octets in files(box.path)]
        assert sorted(map(int, found)) == list(range(100))

    async def test_after_a_death_mail_is_tried_again_and_flows(self) -> None:
        """Under way: 451 4.3.0; what waits goes by threads; then there is a process again."""
        self.patch(process, "PAUSES", (0.2, 1.0))
        self.agent = self.make(self.folder)
        await self.there()
        before = self.pid()
        os.kill(before, signal.SIGSTOP)
        calls = [deliver(self.agent) for _ in range(2)]
        await deferLater(reactor, 0)  # type: ignore[arg-type]
        calls.append(deliver(self.agent))
        os.kill(before, signal.SIGKILL)
        outcomes: list[Outcome] = [outcome for call in calls for outcome in await call]
        assert [each.status.name for each in outcomes] == ["DEFERRED", "DEFERRED", "DELIVERED"]
        assert str(outcomes[0].reply).startswith("451 4.3.0")
        assert self.pid() == 0
        await self.there()
        await deliver(self.agent)
        assert self.pid() not in (0, before)

    async def test_one_that_cannot_begin_keeps_no_mail_back(self) -> None:
        """A broken installation: threads deliver before and after it has failed."""
        self.patch(process, "_CHILD", ("-m", "mailframe.not_there"))
        for _ in range(2):
            (outcome,) = await deliver(self.agent)
            assert outcome.status is Status.DELIVERED
            while self.pid():
                await deferLater(reactor, 0.01)  # type: ignore[arg-type]

    async def test_stopping_waits_for_what_is_under_way(self) -> None:
        """Then the process is gone, and what comes too late is delivered nevertheless."""
        await self.there()
        pid = self.pid()
        os.kill(pid, signal.SIGSTOP)
        calls = [deliver(self.agent) for _ in range(3)]
        stopped = self.agent.stopService()
        os.kill(pid, signal.SIGCONT)
        await stopped
        assert all(call.called for call in calls)
        for call in (*calls, deliver(self.agent)):
            (outcome,) = await call
            assert outcome.status is Status.DELIVERED
        assert not Path(f"/proc/{pid}").exists()

    async def test_a_full_disk_defers(self) -> None:
        """452 4.3.1 for what does not fit, and nothing of it is left."""
        place = self.folder / "mail"
        place.mkdir(parents=True)
        mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "none", str(place)]
        if os.geteuid() or subprocess.run(mount, check=False).returncode:
            self.skipTest("no file system can be mounted here")
        self.addCleanup(subprocess.run, ["umount", str(place)], check=True)
        await self.there()
        outcomes = [(await deliver(self.agent, b"x" * 40_000))[0] for _ in range(4)]
        assert outcomes[0].status is Status.DELIVERED
        assert outcomes[-1].status is Status.DEFERRED
        assert str(outcomes[-1].reply).startswith("452 4.3.1")
        box = self.agent.maildir(Mailbox("bob", "example.org")).path
        assert not list((box / "tmp").iterdir())
        assert all(len(octets) > 40_000 for octets in files(box))


def test_it_begins_lean() -> None:
    """It does without Twisted, DNS and TLS, whatever the host has loaded."""
    code = (
        "import sys, mailframe.maildir.delivery.child;"
        "heavy = {'twisted', 'zope', 'OpenSSL', 'idna'};"
        "print(heavy & {name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_bug_is_told_in_words(tmp_path: Path) -> None:
    """With the lines where it happened, for the host's log."""
    deliverer = Deliverer(rules(tmp_path, line_ends="none of these"))
    broken = Task(content(), [Addressee(str(tmp_path / "b"), "", None, "x", "")])  # type: ignore[arg-type]
    object.__setattr__(deliverer, "_maildir", None)
    ((result,),) = delivered(deliverer, [broken])
    assert isinstance(result, Trouble) and "deliverer.py" in str(result)

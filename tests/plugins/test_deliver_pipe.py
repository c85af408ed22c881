"""`[deliver.pipe]`: real programs, run by a real reactor."""

from __future__ import annotations

import io
import json
import os
import signal
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from odd_local_parts import ODD
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

import mailframe_plugins.deliver_pipe as module
from mailframe.message import Content, Message, Outcome, Route, Status
from mailframe.plugin import Duration, SettingError
from mailframe.smtp.address import Mailbox
from mailframe.testing.values import envelope, message, recipient, site
from mailframe_plugins.deliver_pipe import AS_ROOT, MAX_WORDS, SYSEXITS, Pipe, Settings, reply_for

REPORT = """\
#!{python}
import json, os, sys
stdin = sys.stdin.buffer.read().decode("latin-1")
leader = os.getpid() == os.getpgid(0)
said = dict(argv=sys.argv[1:], env=dict(os.environ), stdin=stdin, leader=leader)
with open({out!r}, "a") as file:
    file.write(json.dumps(said) + "\\n")
"""


def route(to: str | Mailbox = "bob@example.org", tag: str = "") -> Route:
    aimed = recipient(to)
    return Route("pipe", recipient=aimed, mailbox=aimed.address, tag=tag)


class PipeTestCase(TestCase):
    timeout = 30

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def script(self, text: str) -> str:
        path = self.folder / "program"
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    def reporter(self) -> str:
        self.out = self.folder / "out"
        return self.script(REPORT.format(python=sys.executable, out=str(self.out)))

    def reports(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.read_text().splitlines()]

    def pipe(self, *command: str, **settings: Any) -> Pipe:
        lent = site(self.folder, reactor=reactor, in_thread=deferToThread)
        return Pipe(Settings(command=command, **settings), lent)

    async def shell(self, text: str, of: Message | None = None, **settings: Any) -> Outcome:
        """Run a script for one recipient."""
        pipe = self.pipe(self.script("#!/bin/sh\n" + text), **settings)
        (outcome,) = await pipe.deliver(of or message(), [route()])
        return outcome


class TestRoot(PipeTestCase):
    async def test_nothing_runs_as_root(self) -> None:
        """A host that kept root's rights runs no program until a user is named."""
        rights = [True]
        lent = site(
            self.folder, reactor=reactor, in_thread=deferToThread, is_root=lambda: rights[0]
        )
        program = self.script("#!/bin/sh\ntouch ran\n")
        pipe = Pipe(Settings(command=(program,), folder=self.folder), lent)
        (outcome,) = await pipe.deliver(message(), [route()])
        assert outcome.status is Status.DEFERRED and outcome.reply == AS_ROOT
        assert not (self.folder / "ran").exists()
        rights[0] = False
        (outcome,) = await pipe.deliver(message(), [route()])
        assert outcome.status is Status.DELIVERED and (self.folder / "ran").exists()

    def test_root_is_no_user_for_it(self) -> None:
        """Nor can it be named."""
        wrong = self.assertRaises(SettingError, self.pipe, "/bin/true", user="root")
        assert wrong.key == "user" and "never run as root" in wrong.message


class TestPrograms(PipeTestCase):
    async def test_the_program_gets_arguments_environment_and_content(self) -> None:
        """Placeholders are filled, variables are few, lines end in LF, headers are on top."""
        os.environ["MAILFRAME_SECRET"] = "x"
        self.addCleanup(os.environ.pop, "MAILFRAME_SECRET")
        pipe = self.pipe(
            self.reporter(), "-f", "{sender}", "--to={recipient}", "{user}", "{domain}", "{tag}",
            "{id}", "{user}@{domain}", environment={"COLOUR": "blue"},
        )  # fmt: skip
        around = envelope("alice@client.example", "bob+x@example.org")
        sent = Message("M7", around, Content(b"Received: y\r\n", b"A: b\r\n\r\nhello\r\n", 13))
        to = replace(route("bob+x@example.org", "x"), mailbox=Mailbox("bob", "example.org"))
        (outcome,) = await pipe.deliver(sent, [to])
        assert outcome.status is Status.DELIVERED, outcome
        (said,) = self.reports()
        assert said["argv"] == [
            "-f", "alice@client.example", "--to=bob+x@example.org", "bob", "example.org", "x",
            "M7", "bob@example.org",
        ]  # fmt: skip
        assert said["env"].pop("LC_CTYPE", "C.UTF-8") == "C.UTF-8"  # Python's own
        assert said["env"] == {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "SENDER": "alice@client.example",
            "RECIPIENT": "bob+x@example.org",
            "ORIGINAL_RECIPIENT": "bob+x@example.org",
            "MAIL_ID": "M7",
            "COLOUR": "blue",
        }
        assert said["stdin"] == (
            "Return-Path: <alice@client.example>\nDelivered-To: bob+x@example.org\n"
            "Received: y\nA: b\n\nhello\n"
        )
        assert said["leader"]

    async def test_odd_local_parts_stay_arguments(self) -> None:
        """No shell reads them: each arrives as one argument or is refused (553)."""
        pipe = self.pipe(self.reporter(), "--to={recipient}", "x{user}")
        routes = [route(Mailbox(local, "example.org")) for local in ODD.values()]
        outcomes = await pipe.deliver(message(), routes)
        assert {each.status for each in outcomes} == {Status.DELIVERED}
        given = {tuple(said["argv"]) for said in self.reports()}
        assert given == {
            (f"--to={Mailbox(local, 'example.org')}", "x" + local) for local in ODD.values()
        }
        assert sorted(path.name for path in self.folder.iterdir()) == ["out", "program"]

    async def test_a_value_never_becomes_an_option(self) -> None:
        """A hyphen first is refused, but after `--`, inside an argument, or where allowed."""
        hyphen = route(Mailbox("-oQ/tmp", "example.org"))
        for command, allow, delivered in (
            (["{user}"], False, False),
            (["{recipient}"], False, False),
            (["--", "{user}"], False, True),
            (["-u{user}"], False, True),
            (["{user}"], True, True),
        ):
            pipe = self.pipe(self.reporter(), *command, allow_hyphen=allow)
            (outcome,) = await pipe.deliver(message(), [hyphen])
            assert (outcome.status is Status.DELIVERED) == delivered, command
            assert delivered or outcome.reply.code == 553

    async def test_control_characters_are_refused(self) -> None:
        """A program may read line by line: no line breaks, no NUL, no half characters."""
        pipe = self.pipe("/bin/true")
        routes = [route(Mailbox(odd, "example.org")) for odd in ("a\nb", "a\0", "\ud800")]
        outcomes = await pipe.deliver(message(), routes)
        assert [each.reply.code for each in outcomes] == [553] * 3

    async def test_a_large_message_is_streamed(self) -> None:
        """Ten megabytes through a pipe, CRLF cut at any place, and no more at once."""
        line = b"x" * 97 + b"\r\n"
        body = line * 100_000
        sizes: list[int] = []

        class Watched(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                sizes.append(size or 0)
                return super().read(size)

        sent = replace(message(), content=Content(b"", lambda: Watched(body), len(body)))
        outcome = await self.shell(
            f"sleep 0.1; wc -c > {self.folder}/count", of=sent, headers=False
        )
        assert outcome.status is Status.DELIVERED
        assert int((self.folder / "count").read_text()) == 98 * 100_000
        assert max(sizes) <= module.CHUNK

    async def test_crlf_stays_where_wished(self) -> None:
        """The program reads what SMTP carried, without headers on top."""
        await self.shell(f"cat > {self.folder}/got", line_ends="crlf", headers=False)
        assert (self.folder / "got").read_bytes() == message().content.at_hand

    async def test_binary_mail_is_given_as_text(self) -> None:
        """RFC 3030: no octet of an image is taken for a line end, and none is lost."""
        image = b"\x89PNG\r\n\0\n"
        head = b"MIME-Version: 1.0\r\nContent-Type: image/png\r\n\r\n"
        around = replace(message().envelope, body="BINARYMIME")
        for octets in (head + image, image):
            sent = message(octets, around)
            await self.shell(f"cat > {self.folder}/got", of=sent, headers=False)
            got = (self.folder / "got").read_bytes()
            if octets == image:  # it has no header, so that nothing can be said about it
                assert got == image
            else:
                assert message_from_bytes(got).get_payload(decode=True) == image

    async def test_a_piece_that_ends_in_cr_waits_for_the_next(self) -> None:
        """Even where the piece is nothing else."""
        pieces = [b"a\r\n", b"\r", b"\nb\r\n"]

        class Cut(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                return pieces.pop(0) if pieces else b""

        sent = replace(message(), content=Content(b"", Cut, 8))
        await self.shell(f"cat > {self.folder}/got", of=sent, headers=False)
        assert (self.folder / "got").read_bytes() == b"a\n\nb\n"

    async def test_statuses_are_those_of_sysexits(self) -> None:
        """Each with its reply; unknown ones and signals are tried again."""
        for code, status in ((0, "2.0.0"), (67, "5.1.1"), (75, "4.3.0"), (1, "4.3.0")):
            outcome = await self.shell(f"cat > /dev/null; exit {code}")
            assert outcome.reply.status == status
        killed = await self.shell("kill -9 $$")
        assert (killed.status, killed.reply.code) == (Status.DEFERRED, 451)

    async def test_a_program_need_not_read(self) -> None:
        """Its exit status alone says what became of the message."""
        big = message(b"x" * 1_000_000)
        outcome = await self.shell("exec 0<&-; sleep 0.1; exit 0", of=big)
        assert outcome.status is Status.DELIVERED

    async def test_its_first_words_are_in_the_reply(self) -> None:
        """One line, printable, in bounds; an enhanced status at its start is taken."""
        outcome = await self.shell('printf "5.2.1 disabled\\033[31m\\nmore" >&2; exit 77')
        assert str(outcome.reply) == "554 5.2.1 Permission denied: disabled?[31m"
        loud = await self.shell("yes | head -c 1000000; exit 75")
        assert loud.reply.text == "Temporary failure: y"

    async def test_too_long_is_ended_with_its_children(self) -> None:
        """After the limit the whole process group goes, and it is tried again later."""
        outcome = await self.shell(
            f"trap '' TERM; sleep 60 & echo $! > {self.folder}/child; wait; sleep 60",
            time_limit=Duration(0.3),
        )
        assert (outcome.status, outcome.reply.status) == (Status.DEFERRED, "4.3.0")
        child = int((self.folder / "child").read_text())
        for _ in range(100):
            if not _runs(child):
                return
            await _pause(0.02)
        os.kill(child, signal.SIGKILL)
        raise AssertionError("the child was left running")

    async def test_cancelling_ends_it(self) -> None:
        """Whoever gave up waiting leaves nothing running."""
        pipe = self.pipe(self.script(f"#!/bin/sh\necho $$ > {self.folder}/pid\nexec sleep 60\n"))
        delivery = pipe.deliver(message(), [route()])
        pid = self.folder / "pid"
        while not (pid.exists() and pid.read_text()):
            await _pause(0.01)
        delivery.cancel()
        assert await delivery == []
        while _runs(int(pid.read_text())):
            await _pause(0.01)
        await _pause(module.LAST_WORDS)  # its pipes

    async def test_what_it_leaves_running_is_not_waited_for(self) -> None:
        """A daemon that keeps the pipes open holds nobody up."""
        before = time.monotonic()
        outcome = await self.shell(f"sleep 20 & echo $! > {self.folder}/child; exit 0")
        os.kill(int((self.folder / "child").read_text()), signal.SIGKILL)
        assert outcome.status is Status.DELIVERED
        assert time.monotonic() - before < 10

    async def test_so_many_at_once_and_no_more(self) -> None:
        """`concurrency` programs; the next begins when one has ended."""
        text = f"mkdir {self.folder}/lock || exit 67; sleep 0.05; rmdir {self.folder}/lock"
        pipe = self.pipe(self.script("#!/bin/sh\n" + text), concurrency=1)
        outcomes = await pipe.deliver(message(), [route() for _ in range(4)])
        assert {each.status for each in outcomes} == {Status.DELIVERED}

    async def test_a_message_that_comes_back_is_a_loop(self) -> None:
        """554 5.4.6 by Delivered-To, also where the content must be opened."""
        octets = b"Delivered-To: bob@example.org\r\n\r\n"
        for content in (
            Content(b"", octets, len(octets)),
            Content(b"", lambda: io.BytesIO(octets), len(octets)),
        ):
            outcome = await self.shell("exit 0", of=replace(message(), content=content))
            assert (outcome.status, outcome.reply.status) == (Status.FAILED, "5.4.6")

    async def test_a_fault_is_that_recipients_own(self) -> None:
        """A route without recipient has no outcome; the other's delivery is told."""
        pipe = self.pipe("/bin/true")
        outcomes = list(await pipe.deliver(message(), [Route("pipe"), route()]))
        assert [each.status for each in outcomes] == [Status.DELIVERED]
        assert len(self.flushLoggedErrors(ValueError)) == 1

    async def test_content_that_cannot_be_read_is_deferred(self) -> None:
        """The program is ended: half a message is no message."""

        class Torn(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                raise OSError("torn")

        def gone() -> io.BytesIO:
            raise OSError("gone")

        for opener in (Torn, gone):
            sent = replace(message(), content=Content(b"", opener, 10))
            outcome = await self.shell("exec cat", of=sent, headers=False)
            assert (outcome.status, outcome.reply.code) == (Status.DEFERRED, 451)
        self.flushLoggedErrors(OSError)

    async def test_a_program_that_is_gone_is_deferred(self) -> None:
        """With setsid(1) it is status 127, without it an error of exec."""
        for setsid in (True, False):
            path = Path(self.script("#!/bin/sh\n"))
            pipe = self.pipe(str(path))
            if not setsid:
                pipe._before = ()
            path.unlink()
            (outcome,) = await pipe.deliver(message(), [route()])
            assert (outcome.status, outcome.reply.status) == (Status.DEFERRED, "4.3.5")

    async def test_without_setsid_the_program_alone_is_ended(self) -> None:
        """It leads no group then."""
        pipe = self.pipe(self.script("#!/bin/sh\nexec sleep 60\n"), time_limit=Duration(0.2))
        pipe._before = ()
        (outcome,) = await pipe.deliver(message(), [route()])
        assert outcome.status is Status.DEFERRED

    async def test_the_null_sender_is_as_set(self) -> None:
        """Empty, or the name that the program wants."""
        bounce = message(envelope=envelope(None, "bob@example.org"))
        for null in ("", "MAILER-DAEMON"):
            pipe = self.pipe(self.reporter(), "{sender}", null_sender=null)
            await pipe.deliver(bounce, [route()])
            assert self.reports()[-1]["argv"] == [null]
            assert self.reports()[-1]["env"]["SENDER"] == null

    async def test_another_user_and_folder(self) -> None:
        """Root may give it to a user of its own, with that user's HOME."""
        if os.geteuid() != 0:
            self.skipTest("only root can become another")  # type: ignore[no-untyped-call]
        place = self.folder / "open"
        place.mkdir()
        place.chmod(stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO)
        script = Path("/tmp") / f"mailframe-test-{os.getpid()}"
        script.write_text('#!/bin/sh\necho "$(id -un) $HOME $PWD" >&2\nexit 75\n')
        script.chmod(0o755)
        self.addCleanup(script.unlink)
        pipe = self.pipe(str(script), user="nobody", folder=Path("/"))
        (outcome,) = await pipe.deliver(message(), [route()])
        assert outcome.reply.text == "Temporary failure: nobody /nonexistent /"


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _pause(seconds: float) -> Deferred[None]:
    """For another process to get on."""
    nothing: Callable[[], None] = lambda: None  # noqa: E731
    return deferLater(reactor, seconds, nothing)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"command": ()}, "command"),
        ({"command": ("true",)}, "command"),
        ({"command": ("/no/such/program",)}, "command"),
        ({"command": ("/etc/passwd",)}, "command"),
        ({"command": ("/bin/true", "{nobody}")}, "command"),
        ({"command": ("/bin/true", "a\0")}, "command"),
        ({"command": ("/bin/true",), "concurrency": 0}, "concurrency"),
        ({"command": ("/bin/true",), "time_limit": Duration(0)}, "time_limit"),
        ({"command": ("/bin/true",), "user": "no-such-user"}, "user"),
        ({"command": ("/bin/true",), "folder": Path("/no/such/folder")}, "folder"),
    ],
)
def test_wrong_settings_are_refused_at_the_start(settings: dict[str, Any], key: str) -> None:
    """With the name of the key."""
    with pytest.raises(SettingError) as caught:
        Pipe(Settings(**settings), site())
    assert caught.value.key == key


def test_replies_of_programs_cannot_disagree_or_run_over() -> None:
    """A status of another class stays text; words end at a limit; delivered needs none."""
    assert str(reply_for(75, b"5.1.1 nobody")) == "451 4.3.0 Temporary failure: 5.1.1 nobody"
    assert len(reply_for(70, b"x" * 5000).text) < MAX_WORDS + 50
    assert reply_for(0, b"all is well").text == "Delivered to the program"
    assert reply_for(99, "ü\x00".encode()).text == "The program that delivers failed: ??"
    assert all(reply_for(code, b"").code == reply.code for code, reply in SYSEXITS.items())

"""`mailframe queue` and `mailframe trace`, with the host down."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from small_host import command, configure, enqueue
from twisted.internet.defer import Deferred
from twisted.internet.selectreactor import SelectReactor

from mailframe.command_line.session import session
from mailframe.config import load
from mailframe.eventual import at_once
from mailframe.host.resources import Resources
from mailframe.host.state_folder import StateFolder
from mailframe.interfaces import IQueueStore
from mailframe.message import AuthResult


def in_store(file: Path, *messages: tuple[str, str], **more: Any) -> list[str]:
    """Messages (sender, recipient) put into the queue of a host that is down; their ids.

    `more` are further parts of each one's envelope.
    """
    reactor = SelectReactor()
    composition = load(file)
    composition.settings.state.mkdir(exist_ok=True)
    resources = Resources(composition, reactor, time.time, {"queue"})
    ids: list[str] = []
    failed: list[object] = []

    async def put() -> None:
        resources.open()
        store = resources.hooks.store
        assert store is not None
        for service in resources.services():
            service.startService()
        for sender, to in messages:
            ids.append((await enqueue(store, to, sender, **more)).id)
        await close(store, resources)

    def begin() -> None:
        putting = Deferred.fromCoroutine(put())
        putting.addErrback(failed.append)
        putting.addCallback(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    assert not failed, failed
    return ids


async def close(store: IQueueStore, resources: Resources) -> None:
    for service in resources.services():
        await (at_once(service.stopService()) or done())
    closing = at_once(store.close())
    if isinstance(closing, Deferred):
        await closing
    await resources.close()


async def done() -> None:
    """Nothing to wait for."""


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """A configuration whose host has never run."""
    yield configure(tmp_path)


@pytest.fixture
def ids(file: Path) -> list[str]:
    """Three messages in its queue."""
    return in_store(
        file,
        ("alice@example.org", "bob@b.example"),
        ("", "carol@c.example"),
        ("dave@d.example", "bob@b.example"),
    )


def listed(file: Path, *words: str) -> list[str]:
    """The ids that `queue list` shows."""
    said = command(file, "queue", "list", "--json", *words)
    assert said.exit_code == 0, said.stderr
    return [json.loads(line)["id"] for line in said.stdout.splitlines()]


def test_a_host_that_has_never_run(file: Path) -> None:
    """There is no queue to open: 69."""
    said = command(file, "queue", "list")
    assert said.exit_code == 69
    assert "has never run" in said.stderr


def test_list(file: Path, ids: list[str]) -> None:
    """Oldest first; a page at a time; by address, domain and hold."""
    assert listed(file) == ids
    assert listed(file, "--limit", "2") == ids[:2]
    assert listed(file, "--limit", "0", "--after", ids[0]) == ids[1:]
    assert listed(file, "--address", "carol@c.example") == [ids[1]]
    assert listed(file, "--address", "@b.example") == [ids[0], ids[2]]
    assert listed(file, "--held") == []


def test_list_for_people(file: Path, ids: list[str]) -> None:
    """A line for each message, one for each recipient, and where the list goes on."""
    said = command(file, "queue", "list", "--limit", "1")
    assert ids[0] in said.stdout
    assert "from <alice@example.org>" in said.stdout
    assert "    <bob@b.example> due now" in said.stdout
    assert f"--after {ids[0]}" in said.stderr
    assert "none" in command(file, "queue", "list", "--held").stderr


def test_many_recipients(file: Path) -> None:
    """The list shows three of them, `show` all."""
    (id,) = in_store(file, ("a@a.example", " ".join(f"r{n}@b.example" for n in range(5))))
    said = command(file, "queue", "list").stdout
    assert "<r2@b.example>" in said
    assert "<r3@b.example>" not in said
    assert "    and 2 more" in said
    assert "<r4@b.example>" in command(file, "queue", "show", id).stdout


def test_show(file: Path, ids: list[str]) -> None:
    """The envelope and the recipients; with --content the octets themselves."""
    said = command(file, "queue", "show", ids[0])
    for words in (ids[0], "from <alice@example.org>", "client=192.0.2.1", "to <bob@b.example>"):
        assert words in said.stdout
    row = json.loads(command(file, "queue", "show", ids[0], "--json").stdout)
    assert row["id"] == ids[0]
    content = command(file, "queue", "show", ids[0], "--content").stdout_bytes
    assert content == b"Received: by us\r\nSubject: one\r\n\r\nHi\r\n"
    for words in ((), ("--content",)):
        assert command(file, "queue", "show", "nothing", *words).exit_code == 66


def test_hold_and_release(file: Path, ids: list[str]) -> None:
    """By id, by address, or all."""
    said = command(file, "queue", "hold", ids[0], ids[1])
    assert said.stdout == "2 on hold\n"
    assert listed(file, "--held") == ids[:2]
    assert "held" in command(file, "queue", "list").stdout
    assert "on hold" in command(file, "queue", "show", ids[0]).stdout
    assert command(file, "queue", "release", "--address", "@b.example").exit_code == 0
    assert listed(file, "--held") == [ids[1]]
    command(file, "queue", "release", "--all")
    assert listed(file, "--held") == []


def test_why_a_filter_held_it(file: Path) -> None:
    """The list says so at once, `show` says what was found too; once released it is past."""
    found = AuthResult("dkim", "fail", "bad signature", {"header.d": "a.example"})
    held = "looks like phishing"
    (id,) = in_store(file, ("a@a.example", "b@b.example"), held=held, results=(found,))
    assert "held (looks like phishing) from <a@a.example>" in command(file, "queue", "list").stdout
    said = command(file, "queue", "show", id).stdout
    assert "  on hold: looks like phishing\n" in said
    assert "  result dkim=fail reason=bad signature header.d=a.example\n" in said
    command(file, "queue", "release", id)
    row = json.loads(command(file, "queue", "show", id, "--json").stdout)
    assert (row["hold"], row["held"]) == (False, "")
    assert row["results"] == [
        {
            "method": "dkim",
            "result": "fail",
            "reason": "bad signature",
            "properties": {"header.d": "a.example"},
        }
    ]


def test_retry(file: Path, ids: list[str]) -> None:
    """An id that is not there is named, 66; the others are done."""
    said = command(file, "queue", "retry", ids[0], "nothing")
    assert said.exit_code == 66
    assert said.stdout == "1 to be tried now\n  1 of them as soon as the host runs\n"
    assert "nothing" in said.stderr


def test_delete(file: Path, ids: list[str]) -> None:
    """Only after a yes."""
    assert command(file, "queue", "delete", ids[0], input="n\n").exit_code == 130
    assert listed(file) == ids
    assert command(file, "queue", "delete", ids[0], input="y\n").exit_code == 0
    assert listed(file) == ids[1:]
    assert command(file, "queue", "delete", "--all", "--yes").stdout == "2 deleted\n"
    assert "nothing waits" in command(file, "queue", "list").stderr


@pytest.mark.parametrize("words", [[], ["--all", "--address", "x"], ["M1", "--all"]])
def test_which_messages(file: Path, words: list[str]) -> None:
    """Exactly one way of saying which."""
    assert command(file, "queue", "hold", *words).exit_code == 64


def test_summary(file: Path, ids: list[str]) -> None:
    """Counts, for people and for scripts."""
    said = command(file, "queue", "summary")
    assert "3  messages" in said.stdout
    assert "next due now" in said.stdout
    row = json.loads(command(file, "queue", "summary", "--json").stdout.splitlines()[0])
    assert row["counts"]["messages"] == 3


def test_trace(file: Path, ids: list[str]) -> None:
    """Nothing is remembered of a message that no host saw."""
    said = command(file, "trace", ids[0])
    assert said.exit_code == 66
    assert ids[0] in said.stderr


def test_a_configuration_that_is_wrong(file: Path, ids: list[str]) -> None:
    """Told as `check` tells it, status 1."""
    good = file.read_text()
    for wrong, words in (
        (good.replace('plugin = "trace"', 'plugin = "trcae"'), "trace"),
        (good.replace('plugin = "trace"', 'plugin = "log"\nfile = "nowhere/log"'), "nowhere"),
        ('user = "no-such-user"\n' + good, "no user 'no-such-user'"),
    ):
        file.write_text(wrong)
        said = command(file, "queue", "list")
        assert (said.exit_code, said.stdout) == (1, "")
        assert words in said.stderr


def test_a_queue_that_cannot_be_opened(file: Path) -> None:
    """The store's reason, 69."""
    (file.parent / "state").mkdir()
    (file.parent / "state" / "queue").touch()
    said = command(file, "queue", "list")
    assert said.exit_code == 69
    assert "the queue cannot be opened" in said.stderr


def test_a_folder_of_somebody_else(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the right to the state folder: 77."""
    monkeypatch.setattr(StateFolder, "hold", refuse)
    said = command(file, "queue", "list")
    assert said.exit_code == 77
    assert "only the host's user may look" in said.stderr


def refuse(_self: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    """A socket that could never be is no answer: 69."""
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    said = command(configure(folder), "queue", "list")
    assert said.exit_code == 69
    assert "too long" in said.stderr


def test_a_composition_without_a_trace(file: Path, ids: list[str]) -> None:
    """What to add is said, 69."""
    file.write_text(file.read_text().replace('[[observe]]\nplugin = "trace"\n', ""))
    said = command(file, "trace", ids[0])
    assert said.exit_code == 69
    assert "[[observe]]" in said.stderr


@contextmanager
def host_that_says(file: Path, *answers: object) -> Iterator[None]:
    """A host that gives the same answer to every request of one asker."""
    state = file.parent / "state"
    state.mkdir(exist_ok=True)
    octets = b"".join(json.dumps(answer).encode() + b"\n" for answer in answers)

    def serve() -> None:
        channel, _ = listening.accept()
        with channel, channel.makefile("rb") as requests:
            for _ in requests:
                channel.sendall(octets)

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(state / "control"))
        listening.listen()
        serving = threading.Thread(target=serve)
        serving.start()
        yield
        serving.join(10)


def test_summary_of_damage(file: Path) -> None:
    """What was set aside is named, safely; and when the next is due."""
    counts = {"counts": {"messages": 1}, "next_due": time.time() + 3600.5}
    damage = {"corrupt": "state/queue/corrupt/X: \x1b[2J"}
    with host_that_says(file, {"row": counts}, {"row": damage}, {"done": True}):
        said = command(file, "queue", "summary")
    assert said.exit_code == 0, said.stderr
    assert "next due in 1h" in said.stdout
    assert "damaged: state/queue/corrupt/X: \\x1b[2J" in said.stdout


def test_trace_for_people(file: Path) -> None:
    """Each message's events under its id, with the plugin, the time taken and the facts."""
    event = {
        "time": 1.0, "stage": "relay", "verdict": "250 OK", "plugin": "inbound", "id": "M1",
        "session": "S1", "milliseconds": 0.26, "facts": {"recipient": "b@b.example"},
    }  # fmt: skip
    other = {**event, "id": "", "stage": "auth", "plugin": "", "milliseconds": 0, "facts": {}}
    with host_that_says(file, {"row": event}, {"row": event}, {"row": other}, {"done": True}):
        said = command(file, "trace", "b@b.example")
    lines = said.stdout.splitlines()
    assert [lines[0], lines[3]] == ["M1", "S1"]
    assert "relay inbound" in lines[1]
    assert lines[1].endswith("250 OK (0.3 ms) recipient=b@b.example")
    assert lines[4].endswith("250 OK")


def test_a_host_that_does_not_answer(file: Path, ids: list[str]) -> None:
    """The state folder is held and nobody listens: 69."""
    state = StateFolder(file.parent / "state")
    state.hold()
    said = command(file, "queue", "list")
    state.let_go()
    assert said.exit_code == 69
    assert "running but does not answer" in said.stderr


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "hung up"),
        (b'{"row": {"id"', "hung up"),
        (b'{"error": "the disk is on fire"}\n', "the disk is on fire"),
    ],
)
def test_answers_that_are_none(file: Path, answer: bytes, words: str) -> None:
    """A host that breaks off, or cannot, is 69 with its words."""
    (file.parent / "state").mkdir()
    with socket.socket(socket.AF_UNIX) as host:
        host.bind(str(file.parent / "state" / "control"))
        host.listen()
        with (
            pytest.raises(Exception, match=words) as caught,
            session(load(file), SelectReactor) as asked,
        ):
            channel, _ = host.accept()
            channel.sendall(answer)
            channel.shutdown(socket.SHUT_WR)
            list(asked.ask("ping"))
        channel.close()
    assert caught.value.exit_code == 69  # type: ignore[attr-defined]


def test_a_host_that_is_stuck(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer in time is 69, not a command that hangs."""
    monkeypatch.setattr("mailframe.command_line.session.PATIENCE", 0.1)
    (file.parent / "state").mkdir()
    with socket.socket(socket.AF_UNIX) as host:
        host.bind(str(file.parent / "state" / "control"))
        host.listen()
        said = command(file, "queue", "list")
    assert said.exit_code == 69
    assert "does not answer" in said.stderr

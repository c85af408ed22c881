"""`[deliver.maildir]`: real Maildirs, at once and through a real pool of threads."""

from __future__ import annotations

import errno
import io
import os
import time
from collections.abc import Callable
from dataclasses import replace
from email import message_from_bytes
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from in_house_child import InHouse
from odd_local_parts import ODD
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mailframe.maildir import Maildir, safe_name
from mailframe.maildir.delivery import deliverer as deliverer
from mailframe.message import Content, Message, Outcome, Route, Status
from mailframe.plugin import SettingError, Size
from mailframe.smtp.address import Mailbox
from mailframe.testing.hooks import result_of
from mailframe.testing.plugins import DeliveryAgentContract
from mailframe.testing.values import content, envelope, message, recipient, site
from mailframe_plugins.deliver_maildir import Maildirs, Settings, plugin

PATH = Path("mail/{domain}/{user}/Maildir")
Agent = Callable[..., Maildirs]


def in_house(folder: Path, now: Callable[[], float] = time.time, **settings: Any) -> Maildirs:
    """An agent whose process, where it has one, is in this one."""
    lent = site(folder.absolute(), reactor=InHouse(now), now=now)
    to = Maildirs(Settings(**{"path": PATH, **settings}), lent)
    to.startService()
    return to


@pytest.fixture(params=[True, False], ids=["process", "threads"])
def agent(request: pytest.FixtureRequest) -> Agent:
    """Makes an agent; each test is done with a process and with threads."""
    return partial(in_house, process=request.param)


def route(to: str | Mailbox = "bob@example.org", tag: str = "") -> Route:
    aimed = recipient(to)
    return Route("maildir", recipient=aimed, mailbox=aimed.address, tag=tag)


def files(maildir: Maildir) -> list[bytes]:
    return [maildir.file(each).read_bytes() for each in maildir.messages()]


def deliver(to: Maildirs, *routes: Route, of: Message | None = None) -> list[Outcome]:
    return list(result_of(to.deliver(of or message(), routes or (route(),))))


class TestContract(DeliveryAgentContract, SynchronousTestCase):
    process = True

    def make(self) -> Maildirs:
        self.folder = Path(self.mktemp())
        self.agent = in_house(self.folder, line_ends="crlf", process=self.process)
        return self.agent

    def arrived(self, route: Route) -> bytes | None:
        assert route.mailbox is not None
        (octets,) = files(self.agent.maildir(route.mailbox))
        return octets


class TestContractInThreads(TestContract):
    process = False


@pytest.mark.parametrize("what", ODD)
def test_no_local_part_leads_out_of_its_place(agent: Agent, tmp_path: Path, what: str) -> None:
    """Each odd local part has a mailbox of its own, straight below its domain's folder."""
    mailbox = Mailbox(ODD[what], "example.org")
    to = agent(tmp_path)
    (outcome,) = deliver(to, route(mailbox))
    assert outcome.status is Status.DELIVERED
    domain = tmp_path / "mail" / "example.org"
    assert [path.name for path in domain.iterdir()] == [safe_name(mailbox.local)]
    (octets,) = files(to.maildir(mailbox))
    assert octets.startswith(b"Return-Path: <alice@client.example>\nDelivered-To: ")
    assert octets.count(b"Delivered-To:") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mail"]


@pytest.mark.parametrize("domain", ["", "[192.0.2.1]", "[ipv6:2001:db8::1]", "x" * 300])
def test_odd_domains_have_a_place_too(agent: Agent, tmp_path: Path, domain: str) -> None:
    """Literals, the bare Postmaster's, and what no resolver would take."""
    (outcome,) = deliver(agent(tmp_path), route(Mailbox("bob", domain)))
    assert outcome.status is Status.DELIVERED
    assert len(list((tmp_path / "mail").iterdir())) == 1


def test_two_spellings_of_a_domain_are_one_place(agent: Agent, tmp_path: Path) -> None:
    """U-labels and A-labels share a folder."""
    to = agent(tmp_path)
    deliver(to, route(Mailbox("bob", "münchen.example")))
    deliver(to, route(Mailbox("bob", "xn--mnchen-3ya.example")))
    assert [path.name for path in (tmp_path / "mail").iterdir()] == ["xn--mnchen-3ya.example"]


def test_a_route_without_mailbox_is_for_its_recipient(agent: Agent, tmp_path: Path) -> None:
    """Whoever wrote the router named the agent only."""
    to = agent(tmp_path)
    deliver(to, Route("maildir", recipient=recipient("eve@example.org")))
    assert len(files(to.maildir(Mailbox("eve", "example.org")))) == 1


def test_a_message_that_comes_back_is_a_loop(agent: Agent, tmp_path: Path) -> None:
    """554 5.4.6 for who had it before, delivered to the others."""
    looped = message(b"Delivered-To: BOB@example.org\r\n\r\nagain\r\n")
    bob, eve = deliver(agent(tmp_path), route(), route("eve@example.org"), of=looped)
    assert (bob.status, bob.reply.code, bob.reply.status) == (Status.FAILED, 554, "5.4.6")
    assert eve.status is Status.DELIVERED


BINARY_HEAD = b'MIME-Version: 1.0\r\nContent-Type: image/png; name="\xc3\xa9"\r\n'
IMAGE = b"\x89PNG\r\n\x1a\n\0\r\n"


def binary(octets: bytes) -> Message:
    """Mail that came with BODY=BINARYMIME."""
    return message(octets, envelope("a@x.example", "bob@example.org", body="BINARYMIME"))


def test_an_image_that_came_as_it_is_can_be_read(agent: Agent, tmp_path: Path) -> None:
    """RFC 3030: LF for CRLF would harm it, so it is base64 in the file; nothing else changes."""
    to = agent(tmp_path)
    deliver(to, of=binary(BINARY_HEAD + b"\r\n" + IMAGE))
    (octets,) = files(to.maildir(Mailbox("bob", "example.org")))
    assert BINARY_HEAD.replace(b"\r\n", b"\n") in octets and b"\r" not in octets
    assert message_from_bytes(octets).get_payload(decode=True) == IMAGE


@pytest.mark.parametrize("process", [True, False])
def test_what_cannot_be_text_is_kept_octet_for_octet(tmp_path: Path, process: bool) -> None:
    """Signed, broken, or in Maildirs whose lines end with CRLF: the file has what was sent."""
    signed = b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\r\n\n\r\n--b--\r\n"
    for octets, line_ends in ((signed, "lf"), (BINARY_HEAD + b"\r\n" + IMAGE, "crlf")):
        to = in_house(tmp_path / line_ends, line_ends=line_ends, process=process)
        (outcome,) = deliver(to, of=binary(octets))
        assert outcome.status is Status.DELIVERED
        (found,) = files(to.maildir(Mailbox("bob", "example.org")))
        assert found.endswith(b"\r\n" + octets)
        assert found.startswith(b"Return-Path: <a@x.example>\r\n")


def test_tagged_mail_goes_to_its_folder_where_there_is_one(agent: Agent, tmp_path: Path) -> None:
    """bob+lists to .lists; other tags, and tags that are no names, to the inbox."""
    to = agent(tmp_path, tag_folders=True)
    inbox = to.maildir(Mailbox("bob", "example.org"))
    inbox.folder("lists").create()
    for tag in ("lists", "none", "a..b", "../x", ""):
        deliver(to, route(tag=tag))
    assert len(files(inbox.folder("lists"))) == 1
    assert len(files(inbox)) == 4
    deliver(agent(tmp_path), route(tag="lists"))
    assert len(files(inbox)) == 5


def test_tags_that_make_no_difference_share_a_copy(agent: Agent, tmp_path: Path) -> None:
    """All are told that it is there; with folders by tag each may have its own."""
    plain = agent(tmp_path)
    outcomes = deliver(plain, route(tag="a"), route("eve@example.org"), route(tag="b"), route())
    assert [outcome.status for outcome in outcomes] == [Status.DELIVERED] * 4
    assert len(files(plain.maildir(Mailbox("bob", "example.org")))) == 1
    deliver(agent(tmp_path, tag_folders=True), route(tag="a"), route(tag="b"))
    assert len(files(plain.maildir(Mailbox("bob", "example.org")))) == 3


@pytest.mark.parametrize(
    ("over", "status", "code"), [("fail", Status.FAILED, 552), ("defer", Status.DEFERRED, 452)]
)
def test_a_full_mailbox(agent: Agent, tmp_path: Path, over: str, status: Status, code: int) -> None:
    """Bounces with 552 5.2.2, or waits with 452 4.2.2."""
    to = agent(tmp_path, quota=Size(200), over_quota=over)
    big = message(b"x" * 300)
    (outcome,) = deliver(to, of=big)
    assert (outcome.status, outcome.reply.code) == (status, code)
    assert outcome.reply.status in ("5.2.2", "4.2.2")
    (small,) = deliver(to)
    assert small.status is Status.DELIVERED


def refusal(to: Maildirs, size: int | None = None, **more: Any) -> Any:
    """What RCPT for bob is told."""
    return result_of(to.refusal(envelope(size=size), route(**more)))


@pytest.mark.parametrize(("over", "code"), [("fail", 552), ("defer", 452)])
def test_at_rcpt_a_full_mailbox_is_known(
    agent: Agent, tmp_path: Path, over: str, code: int
) -> None:
    """So that the client is told, not the sender; until its reader has made room."""
    clock = [time.time()]
    to = agent(tmp_path, now=lambda: clock[0], quota=Size(1000), over_quota=over)
    assert refusal(to) is None
    deliver(to, of=message(b"x" * 600))
    clock[0] += 20
    assert refusal(to) is None
    assert refusal(to, size=10) is None
    clock[0] += 20
    assert refusal(to, size=600).code == code
    (failed,) = deliver(to, of=message(b"x" * 600))
    assert refusal(to) is None
    deliver(to, of=message(b"x" * 200))
    deliver(to, of=message(b"x" * 200))
    assert refusal(to, size=300) == failed.reply
    for file in (tmp_path / "mail/example.org/bob/Maildir/new").iterdir():
        file.unlink()
    clock[0] += 1000
    assert refusal(to, size=300) is None


def test_at_rcpt_nothing_is_read_for_a_mailbox_without_a_quota(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor for one that had room a moment ago; one with a maildirsize is known once full."""
    to = agent(tmp_path)
    calls: list[object] = []
    ask = to._deliverer.is_full
    monkeypatch.setattr(
        "mailframe.maildir.delivery.deliverer.Deliverer.is_full",
        lambda _, to, octets: calls.append(to) or ask(to, octets),
    )
    assert refusal(to) is None and calls == []
    deliver(to)
    folder = tmp_path / "mail/example.org/bob/Maildir"
    (folder / "maildirsize").write_text("100S\n90 1\n")
    assert refusal(to) is None and calls == []
    (failed,) = deliver(to, of=message(b"x" * 200))
    assert failed.status is Status.FAILED
    (folder / "maildirsize").write_text("100S\n101 1\n")
    assert refusal(to) == failed.reply
    limited = agent(tmp_path / "other", quota=Size(1000))
    calls.clear()
    for _ in range(3):
        assert refusal(limited) is None
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "452 4.3.1"),
        (errno.EDQUOT, "452 4.2.2"),
        (errno.EACCES, "451 4.3.5"),
        (errno.EROFS, "451 4.2.0"),
        (errno.EIO, "451 4.2.0"),
    ],
)
def test_what_the_disk_says_is_temporary(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    """A full, read-only or failing disk defers, and its text is not shown to anybody."""

    def fail(_: int) -> None:
        raise OSError(number, "SECRET")

    monkeypatch.setattr(os, "fsync", fail)
    Maildir(tmp_path / "mail/example.org/bob/Maildir").path.parent.mkdir(parents=True)
    (outcome,) = deliver(agent(tmp_path))
    assert outcome.status is Status.DEFERRED
    assert str(outcome.reply).startswith(said)
    assert "SECRET" not in outcome.reply.text


def test_content_that_cannot_be_opened_is_deferred(agent: Agent, tmp_path: Path) -> None:
    """The queue's own trouble, before and while it is read."""

    def gone() -> io.BytesIO:
        raise FileNotFoundError(errno.ENOENT, "gone")

    calls = []

    def gone_later() -> io.BytesIO:
        calls.append(1)
        return io.BytesIO(b"Subject: x\r\n\r\n") if len(calls) == 1 else gone()

    for opener in (gone, gone_later):
        lost = replace(message(), content=Content(b"", opener, 10))
        (outcome,) = deliver(agent(tmp_path), of=lost)
        assert outcome.status is Status.DEFERRED


class Pool:
    """One thread's work, done when the test says so."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Deferred[Any], Any, list[Any]]] = []

    def __call__(self, function: Any, tasks: list[Any]) -> Deferred[Any]:
        self.jobs.append((Deferred(), function, tasks))
        return self.jobs[-1][0]

    def work(self) -> list[int]:
        """Do all, what comes by it too; how many tasks each job had."""
        sizes = []
        while self.jobs:
            done, function, tasks = self.jobs.pop(0)
            sizes.append(len(tasks))
            done.callback(function(tasks))
        return sizes


def test_a_fault_is_that_messages_own(agent: Agent, tmp_path: Path) -> None:
    """A route without recipient raises for its own call; others arrive."""
    to = agent(tmp_path)
    with pytest.raises(ValueError):
        to.deliver(message(), [Route("maildir")])
    (outcome,) = deliver(to)
    assert outcome.status is Status.DELIVERED


def test_what_waits_shares_threads_and_can_be_cancelled(tmp_path: Path) -> None:
    """One thread at work: the rest goes together in the next, without who gave up."""
    pool = Pool()
    to = Maildirs(
        Settings(path=PATH, process=False, threads=1, batch=3), site(tmp_path, in_thread=pool)
    )
    calls = [to.deliver(message(), [route()]) for _ in range(6)]
    calls[1].cancel()
    calls[0].cancel()
    assert isinstance(_failure(calls[1]).value, CancelledError)
    assert isinstance(_failure(calls[0]).value, CancelledError)
    assert pool.work() == [1, 3, 1]
    assert all(result_of(call)[0].status is Status.DELIVERED for call in calls[2:])
    assert len(files(to.maildir(Mailbox("bob", "example.org")))) == 5


def _failure(deferred: Deferred[Any]) -> Failure:
    failures: list[Failure] = []
    deferred.addErrback(failures.append)
    return failures[0]


def test_what_breaks_a_whole_go_is_told_to_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in delivery is nobody's DELIVERED, and does not end the process."""

    def bug(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(deliverer, "deliver", bug)
    with pytest.raises(ZeroDivisionError):
        deliver(in_house(tmp_path, process=False))
    to = in_house(tmp_path, process=True)
    assert {outcome.status for outcome in deliver(to, route(), route())} == {Status.DEFERRED}
    monkeypatch.undo()
    (outcome,) = deliver(to)
    assert outcome.status is Status.DELIVERED


def test_tmp_is_cleaned_once_a_day(agent: Agent, tmp_path: Path) -> None:
    """What a crash left goes at the first delivery."""
    to = agent(tmp_path, now=lambda: 1e9)
    maildir = to.maildir(Mailbox("bob", "example.org"))
    maildir.create()
    left = maildir.path / "tmp" / "left"
    for gone in (True, False):
        left.touch()
        os.utime(left, (1e8, 1e8))
        deliver(to)
        assert left.exists() is not gone


def test_a_tmp_that_cannot_be_cleaned_keeps_no_mail_back(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told, and the message is there."""

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(Maildir, "clean", fail)
    (outcome,) = deliver(agent(tmp_path))
    assert outcome.status is Status.DELIVERED


def test_only_small_messages_that_are_at_hand_go_to_the_process(tmp_path: Path) -> None:
    """Larger ones, those to be opened, and all while it is not started, go to threads."""
    pool = Pool()
    lent = site(tmp_path, reactor=InHouse(), in_thread=pool)
    to = Maildirs(Settings(path=PATH), lent)
    early = to.deliver(message(), [route()])
    assert pool.work() == [1]
    assert early.called
    to.startService()
    opened = replace(message(), content=Content(b"", lambda: io.BytesIO(b"x"), 1))
    calls = [
        to.deliver(each, [route()])
        for each in (message(b"x" * 65536), message(b"x" * 65537), opened)
    ]
    assert [call.called for call in calls] == [True, False, False]
    assert pool.work() == [1, 1]


def test_original_to_and_missing_mailboxes_by_setting(agent: Agent, tmp_path: Path) -> None:
    """X-Original-To on top; with `create` off a missing Maildir defers."""
    to = agent(tmp_path, original_to=True)
    deliver(to)
    assert (
        b"X-Original-To: bob@example.org\n" in files(to.maildir(Mailbox("bob", "example.org")))[0]
    )
    (outcome,) = deliver(agent(tmp_path, create=False), route("eve@example.org"))
    assert (outcome.status, outcome.reply.status) == (Status.DEFERRED, "4.2.0")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("path", Path("/m/{nobody}")),
        ("threads", 0),
        ("batch", 0),
        ("owner", "no-such-user"),
        ("group", "no-such-group"),
    ],
)
def test_wrong_settings_are_refused_at_the_start(
    agent: Agent, tmp_path: Path, key: str, value: Any
) -> None:
    """With the name of the key."""
    with pytest.raises(SettingError) as caught:
        agent(tmp_path, **{key: value})
    assert caught.value.key == key


def test_owners_are_names_or_numbers(agent: Agent, tmp_path: Path) -> None:
    """Both are looked up at the start."""
    to = agent(tmp_path, owner="root", group="12")
    owner = to.maildir(Mailbox("bob", "example.org")).owner
    assert (owner.uid, owner.gid) == (0, 12)
    assert plugin.name == "maildir"


class TestInThreads(TestCase):
    timeout = 30

    async def test_a_hundred_at_once_arrive_whole(self) -> None:
        """Through real threads, to five mailboxes, each message once."""
        folder = Path(self.mktemp()).absolute()
        lent = site(folder, reactor=reactor, in_thread=deferToThread)
        reactor.suggestThreadPoolSize(4)  # type: ignore[attr-defined]
        to = Maildirs(Settings(path=PATH, process=False), lent)
        boxes = [Mailbox(f"user{n}", "example.org") for n in range(5)]
        around = envelope("alice@client.example", "bob@example.org")
        calls = [
            to.deliver(
                Message(f"M{n}", around, content(b"Subject: %d\r\n\r\n" % n)),
                [route(box) for box in boxes],
            )
            for n in range(100)
        ]
        outcomes = [each for call in await gatherResults(calls) for each in call]
        assert {each.status for each in outcomes} == {Status.DELIVERED}
        for box in boxes:
            texts = sorted(int(octets.rsplit(b" ", 1)[1]) for octets in files(to.maildir(box)))
            assert texts == list(range(100))

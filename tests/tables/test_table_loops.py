"""Null sender, backscatter and loops: no mail about mail, and none that goes round for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scripted_peer import Network, Peer, message, recipients
from tables_kit import Composed, inbound
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock

from mailframe.config import ConfigErrors
from mailframe.hooks import Bound
from mailframe.message import NextHop, Outcome, Redirect, Route, Status
from mailframe.queue.scheduler import Scheduler
from mailframe.settings import BounceSettings, Limits, QueueTimes
from mailframe.smtp.address import Mailbox
from mailframe.smtp.reply import Reply
from mailframe.testing.hooks import Remembered, compose_hooks, result_of
from mailframe.testing.values import envelope, mailbox, recipient, site
from mailframe_plugins.queue_memory import MemoryQueue, Settings

UNKNOWN = """
[[relay]]
plugin = "inbound"
domains = ["example.org"]
[[route]]
plugin = "aliases"
file = "aliases"
domains = ["example.org"]
[[route]]
plugin = "mailboxes"
domains = ["example.org"]
file = "mailboxes"
[[route]]
plugin = "mx"
"""


@pytest.mark.parametrize("sender", ["<a@client.example>", "<>", "<bob@example.org>"])
def test_unknown_mailboxes_are_refused_in_the_dialogue(tmp_path: Path, sender: str) -> None:
    """RFC 5321 section 6.2: 550 at RCPT, so that no bounce goes to a forged sender."""
    files = {"mailboxes": "bob\n", "aliases": ""}
    talk = Composed(tmp_path, UNKNOWN, files=files).greeted()
    talk.say(f"MAIL FROM:{sender}")
    assert talk.say("RCPT TO:<nobody@example.org>") == ["550 5.1.1 No such mailbox here"]


#: aliases that go in circles -> how
CIRCLES = {
    "a: b\nb: a\n": "two that name each other",
    "a: b\nb: c\nc: d\nd: a\n": "four in a circle",
    "a: a+x\na+x: a+y\na+y: a\n": "by way of tags",
    "a: " + ", ".join(f"b{n}" for n in range(50))
    + "\n" + "".join(f"b{n}: a\n" for n in range(50)): "fifty that come back",
}  # fmt: skip


@pytest.mark.parametrize("aliases", CIRCLES, ids=CIRCLES.values())
def test_aliases_in_circles(tmp_path: Path, aliases: str) -> None:
    """They are found before the first message: the host does not start with them."""
    with pytest.raises(ConfigErrors, match="leads back to itself"):
        Composed(tmp_path, UNKNOWN, files={"mailboxes": "bob\n", "aliases": aliases})


@pytest.mark.parametrize("aliases", ["a: A\n", "a: a\n", "@example.org: @example.org\n"])
def test_aliases_of_themselves(tmp_path: Path, aliases: str) -> None:
    """An address that stands for itself is itself: without a mailbox it is unknown."""
    talk = Composed(tmp_path, UNKNOWN, files={"mailboxes": "bob\n", "aliases": aliases}).greeted()
    talk.say("MAIL FROM:<x@client.example>")
    assert talk.codes("RCPT TO:<a@example.org>")[0] in ("550", "554")


class _Turns:
    """Redirects every address to another, for ever."""

    def route(self, envelope: Any, recipient: Any) -> Any:
        return Redirect((Mailbox(f"{recipient.address.local}x", "example.org"),))


class _Doubles:
    """Redirects every address to two others."""

    def route(self, envelope: Any, recipient: Any) -> Any:
        local = recipient.address.local
        return Redirect(tuple(Mailbox(f"{local}{turn}", "example.org") for turn in "lr"))


@pytest.mark.parametrize("router", [_Turns(), _Doubles()], ids=["endless", "doubling"])
def test_redirects_without_end(router: Any) -> None:
    """A route plugin that never arrives is stopped: refused, in bounded time."""
    hooks = compose_hooks(routes=[router])
    routing: Any = result_of(hooks.route(envelope(), recipient("a@example.org")))
    assert not routing.routes and len(routing.refusals) < 2000
    assert not any(reply.positive for _, reply in routing.refusals)


@pytest.mark.parametrize(("hops", "code"), [(0, "250"), (50, "250"), (51, "554"), (500, "554")])
@pytest.mark.parametrize("name", ["Received", "RECEIVED", "received ", "Received\t"])
def test_received_fields_are_counted(tmp_path: Path, name: str, hops: int, code: str) -> None:
    """RFC 5321 section 6.3: at least 100 in old words; Postfix and we take 50."""
    talk = inbound(tmp_path, limits=Limits(hops=50)).greeted()
    talk.mail("bob")
    field = f"{name}: from a.example by b.example; Thu, 1 Jan 1970 00:00:00 +0000"
    answer = talk.message(*[field] * hops, "Subject: x", "", "x")
    assert answer[:3] == code
    if code == "554":
        assert answer.startswith("554 5.4.6")


def test_received_in_the_body_is_text(tmp_path: Path) -> None:
    """A returned message may quote a whole journey."""
    talk = inbound(tmp_path, limits=Limits(hops=5)).greeted()
    talk.mail("bob")
    assert talk.message("Subject: x", "", *["Received: x"] * 50)[:3] == "250"
    talk.mail("bob")
    assert talk.message("Subject: x", *[" Received: folded"] * 50, "", "x")[:3] == "250"


#: exchanges of the domain, as DNS names them -> outcome
MX_TO_SELF = {
    "our name": ([(10, "us.example")], "5.4.6"),
    "our name in capitals and with a dot": ([(10, "US.Example.")], "5.4.6"),
    "our name before a better one": ([(10, "us.example"), (20, "mx.peer.example")], "5.4.6"),
    "our address": ([(10, "ours.peer.example")], "5.4.6"),
    "our address beside another's": ([(10, "both.peer.example")], "5.4.6"),
    "our address before a worse": ([(1, "ours.peer.example"), (2, "mx.peer.example")], "5.4.6"),
    "localhost by address": ([(10, "local.peer.example")], None),
    "a private address": ([(10, "private.peer.example")], None),
}


@pytest.mark.parametrize("how", MX_TO_SELF)
def test_mx_to_self(how: str) -> None:
    """RFC 5321 section 5.1, RFC 7505's neighbours: never dialled, told at once or left waiting."""
    exchanges, status = MX_TO_SELF[how]
    network = Network(own=("9.9.9.1",))
    network.zone.mxs["peer.example"] = exchanges
    network.zone.hosts["ours.peer.example"] = ["9.9.9.1"]
    network.zone.hosts["both.peer.example"] = ["9.9.9.9", "9.9.9.1"]
    network.zone.hosts["local.peer.example"] = ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0"]
    network.zone.hosts["private.peer.example"] = ["10.0.0.1", "192.168.1.1", "169.254.1.1"]
    found: list[Any] = []
    network.begin(message(), recipients("r@peer.example")).addCallback(found.extend)
    [outcome] = found
    assert network.world.dialled == [] and not outcome.reply.positive
    if status is not None:
        assert (outcome.status, outcome.reply.status) == (Status.FAILED, status)


def test_a_host_that_calls_itself_as_we_do() -> None:
    """RFC 5321 section 6.3: an address that leads back to us is known by its EHLO."""
    network = Network(Peer(domain="us.example"))
    found: list[Any] = []
    network.begin(message(), recipients("r@peer.example")).addCallback(found.extend)
    assert (found[0].status, found[0].reply.status) == (Status.FAILED, "5.4.6")
    assert not any(line.startswith("MAIL") for line in network.peer.said)


class _Refusing:
    """An agent of a host that refuses everybody."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def deliver(self, message: Any, routes: Any) -> Any:
        self.seen.append(message)
        no = Reply(550, "No", "5.1.1")
        return [Outcome(route.recipient, Status.FAILED, no) for route in routes]


class _Everywhere:
    def route(self, envelope: Any, recipient: Any) -> Any:
        return Route("smtp", next_hop=NextHop(recipient.address.domain))


#: sender, NOTIFY -> how many reports come of a failure (RFC 5321 section 6.1, RFC 3461)
REPORTS = {
    ("a@client.example", None): 1,
    ("a@client.example", frozenset({"FAILURE"})): 1,
    ("a@client.example", frozenset({"NEVER"})): 0,
    ("a@client.example", frozenset({"SUCCESS"})): 0,
    ("", None): 0,
    ("", frozenset({"FAILURE"})): 0,
    ("", frozenset({"SUCCESS", "DELAY"})): 0,
}


@pytest.mark.parametrize(("sender", "notify"), REPORTS)
def test_reports_of_failures(sender: str, notify: Any) -> None:
    """At most one, of the null sender; the report that fails, too, has none."""
    clock, agent = Clock(), _Refusing()
    store = MemoryQueue(Settings(), site(reactor=clock))
    hooks = compose_hooks(
        routes=[_Everywhere()], agents={"smtp": Bound("deliver", "smtp", agent)},
        observers=[Remembered()], store=store, reactor=clock,
    )  # fmt: skip
    scheduler = Scheduler(
        hooks=hooks, store=store, hostname="mx.example.org", times=QueueTimes(jitter=0.0),
        bounces=BounceSettings(), reactor=clock, now=clock.seconds, chance=lambda: 0.0,
        in_thread=maybeDeferred,
    )  # fmt: skip
    around = envelope(sender or None, recipient("r@far.example", notify=notify), id="M1")
    draft = store.begin(around)
    draft.write(b"Subject: x\r\n\r\nx\r\n")
    entry = draft.commit(around, b"")
    scheduler.startService()
    scheduler.accept(entry, False)
    clock.pump([60.0] * 200)
    reports = [seen.envelope for seen in agent.seen if seen.id != "M1"]
    assert len(reports) == REPORTS[sender, notify]
    assert all(report.sender is None for report in reports)
    assert all(report.recipients[0].address == mailbox(sender) for report in reports)
    assert store.counts()["messages"] == 0
    scheduler.stopService()
    clock.advance(60)

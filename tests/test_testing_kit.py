"""The kit for plugin authors: its contracts pass sound plugins and find what is wrong."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

import pytest
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from mailframe.interfaces import IDeliveryAgent, IFilter, IObserver, IRelayPolicy, IRouter
from mailframe.message import Event, Finding, Outcome, Redirect, Route, Status
from mailframe.plugin import Filter
from mailframe.smtp.reply import NO_SUCH_MAILBOX, OK, RECIPIENT_OK
from mailframe.testing.hooks import Remembered, result_of
from mailframe.testing.plugins import (
    CheckerContract,
    Contract,
    DeliveryAgentContract,
    FilterContract,
    ObserverContract,
    RelayPolicyContract,
    RouterContract,
)
from mailframe.testing.values import client, content, envelope, message, recipient, site


@implementer(IRelayPolicy)
class Users:
    """Who is logged in may relay."""

    def judge(self, envelope: Any, recipient: Any) -> Any:
        return RECIPIENT_OK if envelope.client.user else None


@implementer(IFilter)
class Marking(Filter):
    """Signs each message."""

    async def content(self, envelope: Any, content: Any) -> Any:
        return Finding({"size": str(content.size)}, (f"X-Size: {content.size}",))


@implementer(IRouter)
class Everybody:
    """All mail goes to one place; the odd ones elsewhere."""

    def route(self, envelope: Any, recipient: Any) -> Any:
        if recipient.address.domain == "elsewhere.example":
            return Redirect((recipient.address, recipient.original))
        return Route("box", mailbox=recipient.address) if recipient.address.domain else None


@implementer(IDeliveryAgent)
class Box:
    """Keeps messages in memory."""

    kept: dict[Any, bytes] = {}

    def deliver(self, message: Any, routes: Any) -> Any:
        for route in routes:
            self.kept[route.recipient] = message.content.open().read()
            yield Outcome(route.recipient, Status.DELIVERED, OK)


class TestUsers(RelayPolicyContract, SynchronousTestCase):
    def make(self) -> Any:
        return Users()


class TestMarking(FilterContract, SynchronousTestCase):
    def make(self) -> Any:
        return Marking()


class TestEverybody(RouterContract, SynchronousTestCase):
    def make(self) -> Any:
        return Everybody()


class TestBox(DeliveryAgentContract, SynchronousTestCase):
    def make(self) -> Any:
        return Box()

    def arrived(self, route: Route) -> bytes | None:
        return Box.kept[route.recipient]


class TestRemembered(ObserverContract, unittest.TestCase):
    def make(self) -> Any:
        return Remembered()


class TestPasswords(CheckerContract, SynchronousTestCase):
    good = ("alice", "secret")

    def make(self) -> Any:
        return InMemoryUsernamePasswordDatabaseDontUse(alice=b"secret")


def broken(contract: type[Any], plugin: Any, **more: Any) -> list[str]:
    """The names of the contract's tests that this plugin does not pass."""
    case = type("Case", (contract,), {"make": lambda self: plugin, **more})()
    failed = []
    for name in sorted(dir(case)):
        if name.startswith("test_"):
            try:
                getattr(case, name)()
            except Exception:
                failed.append(name)
    return failed


class Answering:
    """A plugin of every stage that does as it is told and declares nothing."""

    credentialInterfaces = ()
    wants: Any = None

    def __init__(self, do: Any) -> None:
        self.do = do

    def _answer(self, *asked: Any) -> Any:
        return self.do(*asked)

    requestAvatarId = judge = route = deliver = observe = _answer
    connected = hello = sender = recipient = content = _answer


@pytest.mark.parametrize(
    ("contract", "do", "test"),
    [
        (RelayPolicyContract, lambda *asked: True, "test_it_answers_with_a_reply_or_nothing"),
        (RelayPolicyContract, lambda *asked: RECIPIENT_OK, "test_it_opens_for_no_stranger"),
        (FilterContract, lambda *asked: "yes", "test_every_stage_answers"),
        (FilterContract, lambda *asked: Finding(headers=("x",)), "test_every_stage_answers"),
        (RouterContract, lambda *asked: OK, "test_it_answers_with_a_way"),
        (DeliveryAgentContract, lambda *asked: (), "test_each_route_gets_one_outcome"),
        (
            DeliveryAgentContract,
            lambda message, routes: [Outcome(routes[0].recipient, Status.DELIVERED, OK)],
            "test_odd_recipients_get_an_outcome_too",
        ),
        (
            DeliveryAgentContract,
            lambda message, routes: [
                Outcome(each.recipient, Status.FAILED, NO_SUCH_MAILBOX) for each in [*routes] * 2
            ],
            "test_each_route_gets_one_outcome",
        ),
        (ObserverContract, lambda event: True, "test_it_takes_every_event_at_once"),
    ],
)
def test_a_contract_finds_what_is_wrong(contract: type[Any], do: Any, test: str) -> None:
    """Each promise that is broken has its test."""
    failed = broken(contract, Answering(do))
    assert any(name.startswith(test) for name in failed)


class Undeclared:
    """What a class beside the configuration looks like."""

    def judge(self, envelope: Any, recipient: Any) -> Any:
        return None


class Misnamed:
    """Its method has another name."""

    def decide(self, envelope: Any, recipient: Any) -> Any:
        return None


class Short:
    """Its method takes too little."""

    def judge(self, envelope: Any) -> Any:
        return None


def test_a_contract_wants_methods_and_no_declaration() -> None:
    """As the host does: what is missing or takes other arguments is found."""
    assert broken(RelayPolicyContract, Undeclared()) == []
    for plugin in (Misnamed(), Short()):
        assert "test_it_provides_the_interface" in broken(RelayPolicyContract, plugin)


def test_contracts_find_a_router_that_remembers() -> None:
    """A different answer to the same question."""
    answers = iter(range(10**6))
    router = Answering(lambda *asked: Route(f"agent{next(answers)}"))
    assert "test_asking_changes_nothing" in broken(RouterContract, router)


def test_contracts_find_what_was_lost_on_the_way() -> None:
    """What is called delivered must have arrived."""
    failed = broken(DeliveryAgentContract, Box(), arrived=lambda self, route: b"half")
    assert failed == ["test_what_it_calls_delivered_has_arrived_whole"]


def test_contracts_find_a_checker_that_lets_anybody_in() -> None:
    """And one that lets nobody in, or breaks on odd names."""
    anybody = Answering(lambda credentials: credentials.username)
    assert "test_it_lets_nobody_else_in" in broken(CheckerContract, anybody, good=("a", "bcd"))

    def nobody(credentials: Any) -> Any:
        credentials.username.decode("ascii")
        return fail(UnauthorizedLogin())

    failed = broken(CheckerContract, Answering(nobody), good=("a", "bcd"))
    assert {"test_it_lets_the_right_password_in", "test_it_lets_nobody_else_in"} <= set(failed)


def test_contracts_find_an_observer_of_wrong_wants() -> None:
    """`wants` is a frozenset, or None."""
    observer = Answering(lambda event: None)
    observer.wants = ["relay"]
    assert "test_it_says_what_it_wants" in broken(ObserverContract, observer)


def test_a_contract_must_be_told_how_to_make_its_plugin() -> None:
    """Forgetting `make` is an error with words."""
    with pytest.raises(NotImplementedError, match="Contract must say how"):
        Contract().make()


def test_values_are_short_to_write() -> None:
    """Defaults for what a test does not care about."""
    around = envelope("a@x.example", "b@y.example", recipient("c@z.example"), envid="e")
    assert [str(each.address) for each in around.recipients] == ["b@y.example", "c@z.example"]
    assert (str(around.sender), around.envid, around.client) == ("a@x.example", "e", client())
    assert envelope(None).sender is None
    assert client(user="alice", tls=None).user == "alice"
    assert message(b"abc").content.at_hand == b"abc"
    assert message(envelope=around).envelope is around
    assert io.BytesIO(content(b"x").open().read()).read() == b"x"


def test_a_site_needs_no_network_and_no_threads() -> None:
    """Threads' work is done at once, the store is there only where it was given."""
    lent = site(hostname="me.example")
    assert lent.hostname == "me.example"
    assert result_of(lent.in_thread(lambda: 3)) == 3
    lent.reactor.advance(5)
    assert lent.now() == 5
    with pytest.raises(LookupError):
        lent.store()
    store: Any = object()
    assert site(store=store).store() is store


def test_a_site_has_a_folder_of_its_own(tmp_path: Path) -> None:
    """Not the current one, nor another test's; or the one that is asked for."""
    one, other = site(), site()
    assert one.folder == one.state != other.folder
    assert one.folder.is_dir() and list(one.folder.iterdir()) == []
    assert Path.cwd() not in (one.folder, other.folder)
    assert site(tmp_path).folder == tmp_path


def test_a_sites_folder_is_gone_after_the_tests() -> None:
    """Whatever was written into it."""
    code = (
        "from mailframe.testing.values import site; folder = site().folder; "
        "(folder / 'x').write_text(''); print(folder)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() and not Path(done.stdout.strip()).exists()


def test_results_must_be_there() -> None:
    """What is not at hand is no result; an exception comes out as itself."""
    with pytest.raises(AssertionError, match="no result yet"):
        result_of(Deferred())
    with pytest.raises(UnauthorizedLogin):
        result_of(fail(UnauthorizedLogin()))


def test_remembered_events_by_stage() -> None:
    """Verdicts in order."""
    seen = Remembered()
    for stage in ("a", "b", "a"):
        seen.observe(Event(0.0, stage, f"said {stage}"))
    assert seen.verdicts("a") == ["said a", "said a"]
    assert IObserver.providedBy(seen)


def test_the_guides_plugin_passes_the_guides_test(tmp_path: Path) -> None:
    """Both as they stand in docs/plugin-author.md."""
    guide = (Path(__file__).parents[1] / "docs" / "plugin-author.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    [plugin] = [block for block in blocks if block.startswith("# no_sundays.py")]
    [test] = [block for block in blocks if "class TestNoSundays" in block]
    (tmp_path / "no_sundays.py").write_text(plugin)
    (tmp_path / "test_no_sundays.py").write_text(test)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_no_sundays.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout

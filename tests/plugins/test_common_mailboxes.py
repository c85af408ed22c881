"""`[mailboxes]`, asked by the plugins that used to be told for themselves."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from in_house_child import InHouse
from twisted.trial.unittest import SynchronousTestCase

from mailframe.maildir import Maildir, Owner, Quota
from mailframe.maildir.mailboxes import Mailboxes
from mailframe.message import Message, Outcome, Recipient, Route, Status
from mailframe.plugin import SettingError, Site, Size
from mailframe.testing.hooks import result_of
from mailframe.testing.plugins import DeliveryAgentContract, RouterContract
from mailframe.testing.values import envelope, mailbox, mailboxes, message, recipient, site
from mailframe_plugins import deliver_maildir, route_mailboxes
from mailframe_plugins.deliver_maildir import Maildirs
from mailframe_plugins.route_mailboxes import MailboxRouter

PATH = "mail/{domain}/{user}"
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


class Lent:
    """A Site with these mailboxes, and what plugins warn of."""

    def __init__(self, ours: Mailboxes | None, folder: Path, **more: Any) -> None:
        self.warnings: list[tuple[str, str]] = []
        self.site: Site = site(
            folder,
            reactor=InHouse(lambda: 1e9),
            mailboxes=ours,
            warn=lambda key, words: self.warnings.append((key, words)),
            **more,
        )

    @property
    def keys(self) -> list[str]:
        """Of which warnings were given."""
        return [key for key, _ in self.warnings]

    def agent(self, **settings: Any) -> Maildirs:
        agent = Maildirs(deliver_maildir.Settings(**settings), self.site)
        agent.startService()
        return agent

    def router(self, **settings: Any) -> MailboxRouter:
        given = {"domains": ("example.org", "shop.example"), **settings}
        return MailboxRouter(route_mailboxes.Settings(**given), self.site)


Make = Callable[..., Lent]


@pytest.fixture
def lent(tmp_path: Path) -> Make:
    def make(path: str = PATH, may_give: Any = lambda uid, gid: True, **settings: Any) -> Lent:
        return Lent(mailboxes(tmp_path, path, **settings), tmp_path, may_give=may_give)

    return make


class AgentContractTests(DeliveryAgentContract, SynchronousTestCase):
    """An agent that is told nothing itself keeps the contract."""

    def make(self) -> Maildirs:
        folder = Path(self.mktemp())
        self.ours = mailboxes(folder, PATH)
        return Lent(self.ours, folder).agent(line_ends="crlf")

    def arrived(self, route: Route) -> bytes | None:
        assert route.mailbox is not None
        found = self.ours.maildir(route.mailbox)
        (stored,) = found.messages()
        return found.file(stored).read_bytes()


class RouterContractTests(RouterContract, SynchronousTestCase):
    """So does a router over the mailboxes that exist."""

    def make(self) -> MailboxRouter:
        folder = Path(self.mktemp())
        ours = mailboxes(folder, PATH)
        ours.maildir(mailbox("bob@example.org")).create()
        return Lent(ours, folder).router()


def deliver(to: Maildirs, *addresses: str, of: Message | None = None) -> list[Outcome]:
    aimed = [recipient(address) for address in addresses]
    routes = [Route("maildir", recipient=each, mailbox=each.address) for each in aimed]
    return list(result_of(to.deliver(of or message(), routes)))


def test_routes_and_delivery_agree(lent: Make) -> None:
    """The mailbox that a route finds is where mail arrives, and where a reader looks."""
    here = lent()
    agent, router = here.agent(), here.router()
    ours = here.site.mailboxes
    assert ours is not None
    ours.maildir(mailbox("bob@example.org")).create()
    route = result_of(router.route(envelope(), Recipient(mailbox("Bob+x@Example.org"))))
    (outcome,) = result_of(agent.deliver(message(), [replace(route, recipient=recipient())]))
    assert outcome.status is Status.DELIVERED
    reads = ours.of_user("bob@example.org")
    assert reads is not None
    assert len(list(ours.maildir(reads).messages())) == 1
    assert here.warnings == []


@pytest.mark.parametrize("process", [True, False], ids=["process", "threads"])
def test_each_mailbox_has_its_own_quota(lent: Make, tmp_path: Path, process: bool) -> None:
    """That of the file comes before that of all."""
    (tmp_path / "quotas").write_text("bob: 50\n")
    agent = lent(quotas=Path("quotas"), quota=Size(10_000)).agent(process=process)
    statuses = [each.status for each in deliver(agent, "bob@example.org", "eve@example.org")]
    assert statuses == [Status.FAILED, Status.DELIVERED]
    assert agent.maildir(mailbox("eve@example.org")).exists()


@ROOT_ONLY
@pytest.mark.parametrize("process", [True, False], ids=["process", "threads"])
def test_each_mailbox_has_its_own_owner(lent: Make, tmp_path: Path, process: bool) -> None:
    """By a file, by its name, by its folder; who is not there keeps nobody else's mail back."""
    (tmp_path / "owners").write_text("bob: 1001:1002\n")
    agent = lent(owners=Path("owners"), owner="{user}").agent(process=process)
    to = ("bob@example.org", "daemon@example.org", "no-such-user@example.org")
    outcomes = deliver(agent, *to)
    assert [each.status for each in outcomes] == [Status.DELIVERED] * 2 + [Status.DEFERRED]
    assert str(outcomes[2].reply).startswith("451 4.3.5")
    owners = {path.name: path.stat().st_uid for path in (tmp_path / "mail/example.org").iterdir()}
    assert owners == {"bob": 1001, "daemon": 1}
    (tmp_path / "mail/example.org/eve").mkdir()
    os.chown(tmp_path / "mail/example.org/eve", 1003, 1003)
    agent = lent(owner="from the folder").agent(process=process)
    assert [each.status for each in deliver(agent, "eve@example.org")] == [Status.DELIVERED]
    (message,) = (tmp_path / "mail/example.org/eve/new").iterdir()
    assert (message.stat().st_uid, message.stat().st_gid) == (1003, 1003)


@pytest.mark.parametrize(
    ("key", "ours", "same", "other"),
    [
        ("path", PATH, Path(PATH), Path("other/{user}")),
        ("owner", "12", "12", "13"),
        ("group", "12", "12", "13"),
        ("quota", Size(9), Size(9), Size(8)),
        ("quota_messages", 9, 9, 8),
    ],
)
def test_what_an_agent_says_again(lent: Make, key: str, ours: Any, same: Any, other: Any) -> None:
    """The same is taken with a hint, something else is refused at its key."""
    here = lent(**{key: ours})
    assert here.agent(**{key: same}).maildir(mailbox("bob@example.org")) == here.agent().maildir(
        mailbox("bob@example.org")
    )
    assert here.keys == [key]
    with pytest.raises(SettingError, match=r"contradicts .* in \[mailboxes\]") as caught:
        here.agent(**{key: other})
    assert caught.value.key == key


def test_what_an_agent_adds(lent: Make) -> None:
    """If [mailboxes] does not say it, its own word holds, with a hint."""
    here = lent()
    agent = here.agent(owner="12", quota=Size(7))
    assert agent.maildir(mailbox("bob@example.org")).owner == Owner(12)
    assert agent._mailboxes.quota(mailbox("bob@example.org")) == Quota(7)
    assert here.keys == ["owner", "quota"]


def test_an_archive_is_separate(lent: Make, tmp_path: Path) -> None:
    """It has nothing of [mailboxes], and one Maildir for all is no trap there."""
    here = lent(owner="12", quota=Size(1))
    agent = here.agent(separate=True, path=tmp_path / "archive")
    assert agent.maildir(mailbox("bob@example.org")) == Maildir(
        tmp_path / "archive", tmp_path / "archive"
    )
    assert here.warnings == []
    with pytest.raises(SettingError, match="missing") as caught:
        here.agent(separate=True)
    assert caught.value.key == "path"


def test_an_agent_that_nobody_tells(tmp_path: Path) -> None:
    """Without [mailboxes] it needs a path."""
    with pytest.raises(SettingError, match=r"missing.*\[mailboxes\]") as caught:
        Lent(None, tmp_path).agent()
    assert caught.value.key == "path"


def test_traps_of_an_agents_own_keys(tmp_path: Path) -> None:
    """An owner whom the host cannot give files to; one Maildir for all."""
    here = Lent(None, tmp_path, may_give=lambda uid, gid: uid == gid == -1)
    here.agent(path=Path("mail/{domain}"), owner="12", group="12")
    assert here.keys == ["path", "owner", "group"]
    assert "451 4.3.5" in here.warnings[1][1]
    here = Lent(None, tmp_path, may_give=lambda uid, gid: uid == gid == -1)
    here.agent(path=Path("mail/{user}"))
    assert here.warnings == []


def test_traps_of_mailboxes_are_not_the_agents(lent: Make) -> None:
    """The host tells of those itself."""
    here = lent("mail", may_give=lambda uid, gid: False, owner="12")
    here.agent(quota=Size(5))
    assert here.keys == ["quota"]


def test_what_a_route_says_again(lent: Make) -> None:
    """The same is taken with a hint, something else is refused at its key."""
    here = lent()
    here.router(path=Path(PATH), case_sensitive=False)
    assert here.keys == ["path", "case_sensitive"]
    for key, value in {"path": Path("mail/{user}"), "case_sensitive": True}.items():
        with pytest.raises(SettingError, match=r"contradicts .* in \[mailboxes\]") as caught:
            here.router(**{key: value})
        assert caught.value.key == key
    with pytest.raises(SettingError, match=r"\{user\} is wanted"):
        lent("mail/{domain}").router()


def test_case_is_that_of_all(lent: Make, tmp_path: Path) -> None:
    """If [mailboxes] tells Bob from bob, so does a route, from a file as well."""
    (tmp_path / "mailboxes").write_text("Bob\n")
    router = lent(case_sensitive=True).router(file=Path("mailboxes"))
    found = result_of(router.route(envelope(), Recipient(mailbox("Bob@example.org"))))
    assert found.mailbox == mailbox("Bob@example.org")
    refused = result_of(router.route(envelope(), Recipient(mailbox("bob@example.org"))))
    assert refused.code == 550

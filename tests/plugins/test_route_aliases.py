"""route_aliases: addresses that stand for others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailframe.files.aliases import parse_aliases
from mailframe.files.watched import LineError
from mailframe.message import Recipient, Redirect
from mailframe.names.domain_set import DomainSet
from mailframe.plugin import SettingError
from mailframe.smtp.address import Mailbox
from mailframe.testing.plugins import RouterContract
from mailframe.testing.values import envelope, mailbox, site
from mailframe_plugins.route_aliases import NO_MEMBERS, FileAliases, Settings

FILE = """
# who reads what
postmaster: alice
team: alice,
    bob@elsewhere.example, "odd, one"
    , carol   # a comment
owner-team: alice
sales@example.net: dora
Info: alice, info
@old.example: @example.org
@example.com: bob
carol@example.com: carol@example.com
"""


class Here:
    """A router over a file of aliases, and what it answers."""

    def __init__(self, folder: Path, text: str = FILE, **settings: Any) -> None:
        self.clock = Clock()
        self.file = folder / "aliases"
        self.file.write_text(text)
        given = {"file": Path("aliases"), "domains": ("example.org", "example.net"), **settings}
        self.router = FileAliases(Settings(**given), site(folder, reactor=self.clock))

    def __call__(self, address: str | Mailbox) -> Any:
        return self.router.route(envelope(), Recipient(mailbox(address)))

    def targets(self, address: str | Mailbox) -> list[str]:
        answer = self(address)
        assert isinstance(answer, Redirect), answer
        return [str(each) for each in answer.addresses]


@pytest.fixture
def here(tmp_path: Path) -> Here:
    """The file above, for example.org and example.net."""
    return Here(tmp_path)


class ContractTests(RouterContract, SynchronousTestCase):
    """route_aliases keeps the contract."""

    def make(self) -> FileAliases:
        folder = Path(self.mktemp())
        folder.mkdir()
        return Here(folder, FILE + "@example.org: alice@example.net\n").router


def test_bare_names(here: Here) -> None:
    """A name without @ holds in each of our domains, its targets in the one asked for."""
    assert here.targets("postmaster@example.org") == ["alice@example.org"]
    assert here.targets("POSTMASTER@Example.NET") == ["alice@example.net"]
    assert here("postmaster@elsewhere.example") is None
    assert here("alice@example.org") is None


def test_lists(here: Here) -> None:
    """A list names several, over several lines; quotes hold commas."""
    assert here.targets("team@example.org") == [
        "alice@example.org",
        "bob@elsewhere.example",
        '"odd, one"@example.org',
        "carol@example.org",
    ]


def test_a_tag_goes_on_to_our_own(tmp_path: Path) -> None:
    """It is what its mailbox sorts by; not to others, nor to a list's members, nor twice."""
    (tmp_path / "members").write_text("erin\n")
    text = "me: alice, bob+own, carol@elsewhere.example, :include:members, d@example.net\n"
    here = Here(tmp_path, f"{text}all: alice\nowner-all: bob\n")
    assert here.targets("Me+Shop@example.org") == [
        "alice+Shop@example.org",
        "bob+own@example.org",
        "carol@elsewhere.example",
        "d+Shop@example.net",
        "erin@example.org",
    ]
    assert here.targets("all+x@example.org") == ["alice@example.org"]
    assert here.targets("me+@example.org")[0] == "alice+@example.org"
    longest = f"me+{'x' * 236}@example.org"
    assert here.targets(longest)[0] == "alice+" + longest[3:]
    assert here.targets(longest.replace("@", "xx@"))[0] == "alice@example.org"
    assert Here(tmp_path, text, keep_tag=False).targets("me+x@example.org")[0] == (
        "alice@example.org"
    )


def test_list_owner(here: Here) -> None:
    """A list with an owner is passed on in the owner's name; the owner's own mail is not."""
    assert here("team@example.net").sender == mailbox("owner-team@example.net")
    assert here("team+x@example.net").sender == mailbox("owner-team@example.net")
    assert here("owner-team@example.net").sender is None
    assert here("postmaster@example.net").sender is None


def test_addresses(here: Here) -> None:
    """A full address is an alias in its domain alone, and comes before a bare name."""
    assert here.targets("sales@example.net") == ["dora@example.net"]
    assert here("sales@example.org") is None


def test_tags(here: Here, tmp_path: Path) -> None:
    """name+tag is the alias name, unless the file has the whole."""
    assert here.targets("postmaster+x@example.org") == ["alice+x@example.org"]
    other = Here(tmp_path, "team: alice\nteam+x: bob\n")
    assert other.targets("team+X@example.org") == ["bob@example.org"]
    assert other.targets("team+X+y@example.org") == ["alice+X+y@example.org"]
    assert Here(tmp_path, separator="")("postmaster+x@example.org") is None


def test_keeping_a_copy(here: Here) -> None:
    """An alias among its own targets is there as it was asked for, tag and case kept."""
    assert here.targets("info@example.org") == ["alice@example.org", "info@example.org"]
    assert here.targets("INFO+x@example.org") == ["alice+x@example.org", "INFO+x@example.org"]


def test_the_kept_copy_asked_once_more(here: Here) -> None:
    """At the next attempt the kept copy is not sent to the others again."""
    kept = Recipient(mailbox("info@example.org"), came_from=(mailbox("info@example.org"),))
    assert here.router.route(envelope(), kept) is None


def test_catch_all(here: Here) -> None:
    """@domain takes all else of a domain; an address that stands for itself is left out."""
    assert here.targets("anybody@example.com") == ["bob@example.com"]
    assert here("carol@example.com") is None
    assert here("bob@example.com") is None


def test_domain_alias(here: Here) -> None:
    """@old: @new keeps the local part."""
    assert here.targets("Some.body+x@old.example") == ["Some.body+x@example.org"]


def test_bare_postmaster(here: Here, tmp_path: Path) -> None:
    """The bare Postmaster is the first domain's; without domains nobody's."""
    assert here.targets(Mailbox("postmaster", "")) == ["alice@example.org"]
    assert Here(tmp_path, "a@b.example: c@d.example", domains=())(Mailbox("postmaster", "")) is None


def test_international_domains(tmp_path: Path) -> None:
    """U-labels and A-labels are one domain, and targets need no SMTPUTF8 for theirs."""
    here = Here(tmp_path, "a@münchen.example: b@bücher.example\nc: d@[192.0.2.1]\n")
    assert here.targets("a@xn--mnchen-3ya.example") == ["b@xn--bcher-kva.example"]
    assert here.targets("c@example.org") == ["d@[192.0.2.1]"]
    assert here(Mailbox("a", "\u2028.example")) is None


def test_included_lists(tmp_path: Path) -> None:
    """:include: reads members from a file beside, and again when it changes."""
    members = tmp_path / "members"
    members.write_text("# all\nalice, bob@elsewhere.example\n\ncarol # new\n")
    here = Here(tmp_path, "news: :include:members, dora\nowner-news: alice\n")
    assert here.targets("news@example.org") == [
        "dora@example.org",
        "alice@example.org",
        "bob@elsewhere.example",
        "carol@example.org",
    ]
    members.write_text("erin\n")
    here.clock.advance(1)
    assert here.targets("news@example.org") == ["dora@example.org", "erin@example.org"]
    members.write_text("not an address\n")
    here.clock.advance(1)
    assert here.targets("news@example.org") == ["dora@example.org", "erin@example.org"]


def test_a_list_without_members(tmp_path: Path) -> None:
    """An empty list is refused in words."""
    (tmp_path / "members").write_text("# nobody yet\n")
    assert Here(tmp_path, "news: :include:members\n")("news@example.org") == NO_MEMBERS


def test_the_file_is_read_again(here: Here) -> None:
    """A change counts within a second; a broken file does not."""
    here.file.write_text(FILE + "new: erin\n")
    here.clock.advance(1)
    assert here.targets("new@example.org") == ["erin@example.org"]
    here.file.write_text(FILE + "new: | rm\n")
    here.clock.advance(1)
    assert here.targets("new@example.org") == ["erin@example.org"]


def test_a_file_that_is_cut_short_is_doubted(here: Here) -> None:
    """The last good version stays."""
    here.file.write_text("")
    here.clock.advance(1)
    assert here.targets("sales@example.net") == ["dora@example.net"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("team alice", 1, "name: address"),
        ("\n  team: alice", 2, "continues the one before"),
        ("team:", 1, "no address follows"),
        ("team: ,", 1, "no address follows"),
        ("team: a b", 1, "'a b' is no address"),
        ("team: alice@", 1, "is no address"),
        ('team: ""@x.example', 1, "local part is empty"),
        ('team: "alice', 1, "a quote does not end"),
        ("a@b@c: alice", 1, "'a@b@c' is no name"),
        ("@a b: alice", 1, "name: address"),
        ("@..: alice", 1, "'@..' is no name"),
        ('team: "|/bin/sh"', 1, "only addresses"),
        ("team: |/bin/sh", 1, "only addresses"),
        ("team: /var/mail/x", 1, "only addresses"),
        ("team: :fail:", 1, "only addresses"),
        ("team: @other.example", 1, "only `@domain: @other`"),
        ("team: alice\n\nTEAM: bob", 3, "TEAM stands in line 1"),
        ("x: y\nnews: :include:missing", 2, "missing: No such file"),
        ("x: y\nnews: :include:bad", 2, r"bad:2: '\|x'"),
        ("x: y\nnews: :include:octets", 2, "octets: .*decode"),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, line: int, words: str) -> None:
    """Each mistake is named at the start, with the line and what was expected."""
    (tmp_path / "bad").write_text("alice\n|x\n")
    (tmp_path / "octets").write_bytes(b"\xff\n")
    with pytest.raises(SettingError, match=words) as caught:
        Here(tmp_path, text)
    assert caught.value.key == "file"
    assert f"aliases:{line}: " in caught.value.message


def test_bare_names_need_a_domain(tmp_path: Path) -> None:
    """Without `domains` a name without @ is in no domain."""
    with pytest.raises(SettingError, match="`domains` names none"):
        Here(tmp_path, "team: a@b.example\n", domains=())


@pytest.mark.parametrize(
    ("text", "line", "way"),
    [
        ("a: b\nb: a\n", 1, "a@example.org → b@example.org → a@example.org"),
        ("x: a\na: b\nb: c, z\nc: a, y\n", 2, "a@example.org → b@example.org"),
        ("a: a, b\nb: a\n", 1, "a@example.org → b@example.org → a@example.org"),
        ("a: b@example.net\nb@example.net: a@example.org\n", 1, "b@example.net"),
        ("ok: fine\na: b\nb+x: c\nb: a+x\n", 4, r"b@example.org → a\+x@example.org → b@"),
        ("@one.example: @two.example\n@two.example: @one.example\n", 1, "…@two.example → …@one"),
        ("@one.example: x@two.example\n@two.example: y@one.example\n", 2, "y@one.example"),
        ("a: b@bücher.example\nb@xn--bcher-kva.example: a@example.org\n", 1, "a@example.org"),
        ("a: :include:back\n", 1, "a@example.org → b@one.example → a@example.org"),
    ],
)
def test_circles(tmp_path: Path, text: str, line: int, way: str) -> None:
    """Aliases that lead back to themselves are refused at the start, with the way."""
    (tmp_path / "back").write_text("b@one.example\n")
    if ":include:" in text:
        text += "b@one.example: a@example.org\n"
    with pytest.raises(SettingError, match=way) as caught:
        Here(tmp_path, text, domains=("example.org",))
    assert f"aliases:{line}: the alias leads back to itself: " in caught.value.message


def test_a_catch_all_that_catches_its_own(tmp_path: Path) -> None:
    """The way out is said, and it is one."""
    text = "@example.com: alice, bob\n"
    with pytest.raises(SettingError) as caught:
        Here(tmp_path, text, domains=("example.com",))
    said = caught.value.message
    own = "`alice@example.com: alice@example.com` and `bob@example.com: bob@example.com`"
    assert own in said and "`catch_all` in [[route]] mailboxes" in said
    lines = "".join(f"{line}\n" for line in said.split("`")[1:4:2])
    here = Here(tmp_path, text + lines, domains=("example.com",))
    assert here("bob@example.com") is None
    assert here.targets("x@example.com") == ["alice@example.com", "bob@example.com"]
    with pytest.raises(SettingError) as caught:
        Here(tmp_path, "a: b\nb: a\n")
    assert "`catch_all`" not in caught.value.message


def test_no_circle(tmp_path: Path) -> None:
    """Two ways to one address, and copies kept, are no circle."""
    here = Here(tmp_path, "a: a, b, c\nb: d\nc: d\nd: d\n@example.net: b@example.net\n")
    assert here.targets("a@example.org") == [f"{each}@example.org" for each in "abc"]


def test_a_circle_in_one_domain_only() -> None:
    """What a bare name does differently in a domain of its own line is seen."""
    text = "a: b\nb@example.net: a\n"
    with pytest.raises(LineError, match=r"a@example\.net → b@example\.net"):
        parse_aliases(text, Path(), DomainSet(["example.org", "example.net"]))


def test_long_chains_are_quick() -> None:
    """Ten thousand aliases in one chain are no trouble."""
    text = "\n".join(f"n{number}: n{number + 1}" for number in range(10_000))
    assert len(parse_aliases(text, Path(), DomainSet(["example.org"]))) == 10_000

"""route_mailboxes: which addresses of our domains are mailboxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailframe.files.watched import LineError
from mailframe.message import Recipient, Redirect, Route
from mailframe.plugin import SettingError
from mailframe.smtp.address import Mailbox
from mailframe.smtp.reply import NO_SUCH_MAILBOX
from mailframe.testing.hooks import result_of
from mailframe.testing.plugins import RouterContract, odd_recipients
from mailframe.testing.values import envelope, mailbox, site
from mailframe_plugins.route_mailboxes import UNAVAILABLE, MailboxRouter, Settings, parse


def in_a_thread_at_once(work: Any, *args: Any) -> Deferred[Any]:
    return succeed(work(*args))


class Here:
    """A router over a folder, and what it answers."""

    def __init__(self, folder: Path, users: str | None = "alice\nbob\n", **settings: Any) -> None:
        self.clock = Clock()
        self.folder = folder
        if users is not None:
            (folder / "mailboxes").write_text(users)
            settings["file"] = Path("mailboxes")
        given = Settings(**{"domains": ("example.org", "example.net"), **settings})
        self.router = MailboxRouter(
            given, site(folder, reactor=self.clock, in_thread=in_a_thread_at_once)
        )

    def __call__(self, address: str | Mailbox) -> Any:
        return result_of(self.router.route(envelope(), Recipient(mailbox(address))))


class ContractTests(RouterContract, SynchronousTestCase):
    """A file of mailboxes keeps the contract."""

    def make(self) -> MailboxRouter:
        folder = Path(self.mktemp())
        folder.mkdir()
        return Here(folder, catch_all="alice", postmaster="bob@elsewhere.example").router


class ExistingContractTests(RouterContract, SynchronousTestCase):
    """So do existing Maildirs."""

    def make(self) -> MailboxRouter:
        folder = Path(self.mktemp())
        (folder / "example.org" / "bob" / "Maildir").mkdir(parents=True)
        path = Path("{domain}/{user}/Maildir")
        return Here(folder, None, path=folder.absolute() / path).router


def test_known_and_unknown(tmp_path: Path) -> None:
    """A listed user has a mailbox in each domain; others do not; other domains are not ours."""
    here = Here(tmp_path)
    assert here("alice@example.org") == Route("maildir", mailbox=mailbox("alice@example.org"))
    assert here("alice@EXAMPLE.net") == Route("maildir", mailbox=mailbox("alice@example.net"))
    assert here("carol@example.org") == NO_SUCH_MAILBOX
    assert here("alice@elsewhere.example") is None
    assert here(Mailbox("", "example.org")) == NO_SUCH_MAILBOX


def test_what_is_listed(tmp_path: Path) -> None:
    """Each user in each domain that has a name; folders are not searched."""
    here = Here(tmp_path, "alice\nbob@example.net\n", domains=("example.org", ".example.net"))
    named = ["alice@example.org", "bob@example.net"]
    assert [str(each) for each in here.router.mailboxes()] == named
    path = tmp_path.absolute() / "{domain}/{user}/Maildir"
    (tmp_path / "example.org" / "bob" / "Maildir").mkdir(parents=True)
    assert list(Here(tmp_path, None, path=path).router.mailboxes()) == []


def test_one_spelling(tmp_path: Path) -> None:
    """Case and U-labels lead to one mailbox, so that there is one Maildir."""
    here = Here(tmp_path, "Alice\nMÜLLER\n", domains=("münchen.example",), deliver="store")
    at = "xn--mnchen-3ya.example"
    assert here("ALICE@MÜNCHEN.example") == Route("store", mailbox=Mailbox("alice", at))
    assert here(Mailbox("mu\u0308ller", at)) == Route("store", mailbox=Mailbox("müller", at))


def test_case_may_matter(tmp_path: Path) -> None:
    """Where the operator wants it, Bob and bob are two."""
    here = Here(tmp_path, "Bob\n", case_sensitive=True)
    assert here("Bob@example.org").mailbox == mailbox("Bob@example.org")
    assert here("bob@example.org") == NO_SUCH_MAILBOX


def test_users_of_one_domain(tmp_path: Path) -> None:
    """user@domain is a mailbox there alone."""
    here = Here(tmp_path, "alice@example.net\nbob@Elsewhere.example\n")
    assert here("alice@example.net").mailbox == mailbox("alice@example.net")
    assert here("alice@example.org") == NO_SUCH_MAILBOX
    assert here("bob@elsewhere.example") is None


def test_tags(tmp_path: Path) -> None:
    """user+tag is user's; a mailbox of the whole name comes first; the tag keeps its case."""
    here = Here(tmp_path, "alice\nalice+fixed\n")
    assert here("Alice+Lists+x@example.org") == Route(
        "maildir", mailbox=mailbox("alice@example.org"), tag="Lists+x"
    )
    assert here("alice+fixed@example.org").mailbox == mailbox("alice+fixed@example.org")
    assert here("alice+fixed@example.org").tag == ""
    for unknown in ("carol+x", "+alice", "+"):
        assert here(f"{unknown}@example.org") == NO_SUCH_MAILBOX


def test_other_separators(tmp_path: Path) -> None:
    """The separator can be another, or none."""
    assert Here(tmp_path, separator="--")("bob--x@example.org").tag == "x"
    assert Here(tmp_path, separator="")("bob+x@example.org") == NO_SUCH_MAILBOX


def test_postmaster(tmp_path: Path) -> None:
    """The postmaster's mail goes to whom the setting names (RFC 5321 section 4.5.1)."""
    here = Here(tmp_path, postmaster="alice")
    to_alice = Redirect((mailbox("alice@example.org"),))
    assert here(Mailbox("Postmaster", "")) == to_alice
    assert here("POSTMASTER@example.org") == to_alice
    assert here("postmaster+x@example.net") == Redirect((mailbox("alice@example.net"),))
    away = Here(tmp_path, postmaster="root@elsewhere.example", catch_all="bob")
    assert away("postmaster@example.org") == Redirect((mailbox("root@elsewhere.example"),))


def test_postmaster_with_a_mailbox(tmp_path: Path) -> None:
    """A mailbox of that name comes before the setting; the bare Postmaster's is the first's."""
    here = Here(tmp_path, "postmaster\nalice\n", postmaster="alice")
    assert here(Mailbox("postmaster", "")).mailbox == mailbox("postmaster@example.org")


def test_no_postmaster(tmp_path: Path) -> None:
    """Without either there is no such mailbox; nor where it stands for itself."""
    assert Here(tmp_path)(Mailbox("postmaster", "")) == NO_SUCH_MAILBOX
    assert Here(tmp_path, postmaster="postmaster")("postmaster@example.org") == NO_SUCH_MAILBOX
    assert Here(tmp_path, domains=(".example.org",))(Mailbox("postmaster", "")) is None


def test_catch_all(tmp_path: Path) -> None:
    """Mail for unknown mailboxes goes to one, in the same domain or elsewhere."""
    here = Here(tmp_path, catch_all="bob")
    assert here("carol@example.net") == Redirect((mailbox("bob@example.net"),))
    assert here("alice@example.net").mailbox == mailbox("alice@example.net")
    lost = Here(tmp_path, catch_all="nobody")
    assert lost("nobody@example.org") == NO_SUCH_MAILBOX


def test_the_next_route_may_decide(tmp_path: Path) -> None:
    """Unknown mailboxes can be left to the route after this one."""
    assert Here(tmp_path, unknown="pass")("carol@example.org") is None


def test_the_file_is_read_again(tmp_path: Path) -> None:
    """A new user gets mail within a second; a broken file changes nothing."""
    here = Here(tmp_path)
    (tmp_path / "mailboxes").write_text("carol\n")
    here.clock.advance(1)
    assert here("carol@example.org").mailbox == mailbox("carol@example.org")
    assert here("bob@example.org") == NO_SUCH_MAILBOX
    (tmp_path / "mailboxes").write_text("bob\nnot a user\n")
    here.clock.advance(1)
    assert here("carol@example.org").mailbox == mailbox("carol@example.org")


def test_an_emptied_file_makes_nobody_unknown(tmp_path: Path) -> None:
    """A full disk or a shell's redirection does it: who was listed is, others may come again."""
    here = Here(tmp_path)
    (tmp_path / "mailboxes").write_text("")
    here.clock.advance(1)
    assert here("alice@example.org") == Route("maildir", mailbox=mailbox("alice@example.org"))
    assert here("carol@example.org") == UNAVAILABLE
    (tmp_path / "mailboxes").write_text("bob\nalice\ncarol\n")
    here.clock.advance(1)
    assert isinstance(here("carol@example.org"), Route)


def test_lines_of_the_file() -> None:
    """Comments, passwords after a colon and quoted users are understood."""
    text = '# all\n\nalice # the first\nbob:$scrypt$x:y\n"odd user"\n"a@b"@example.ORG\n'
    assert parse(text) == {
        ("alice", ""),
        ("bob", ""),
        ("odd user", ""),
        ("a@b", "example.org"),
    }


@pytest.mark.parametrize("line", ["two words", "@example.org", "a@b@c", ":x", "@", '"open'])
def test_wrong_lines(tmp_path: Path, line: str) -> None:
    """A line that is no user is named with its number."""
    with pytest.raises(LineError, match="line 2: "):
        parse(f"alice\n{line}\n")
    with pytest.raises(SettingError, match=r"mailboxes:2: ") as caught:
        Here(tmp_path, f"alice\n{line}\n")
    assert caught.value.key == "file"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("domains", ()),
        ("domains", ("a b",)),
        ("postmaster", "two words"),
        ("catch_all", "@example.org"),
        ("file", Path("not-there")),
    ],
)
def test_wrong_settings(tmp_path: Path, key: str, value: Any) -> None:
    """Each wrong value is refused by its key."""
    with pytest.raises(SettingError) as caught:
        Here(tmp_path, None, **{"path": tmp_path / "{domain}/{user}", key: value})
    assert caught.value.key == key


class TestMaildirs:
    """Without a file, the Maildirs that exist are the mailboxes."""

    def here(self, folder: Path, **more: Any) -> Here:
        for user in ("alice", "bob+fixed"):
            (folder / "example.org" / user / "Maildir").mkdir(parents=True)
        return Here(folder, None, path=folder / "{domain}/{user}/Maildir", **more)

    def test_known_and_unknown(self, tmp_path: Path) -> None:
        """Who has a Maildir has a mailbox, with tags as everywhere."""
        here = self.here(tmp_path)
        assert here("Alice@example.org").mailbox == mailbox("alice@example.org")
        assert here("alice+x@example.org").tag == "x"
        assert here("bob+fixed@example.org").mailbox == mailbox("bob+fixed@example.org")
        assert here("bob@example.org") == NO_SUCH_MAILBOX

    def test_a_lost_folder_is_temporary(self, tmp_path: Path) -> None:
        """Where the folder of all mailboxes is gone (not mounted), no mail bounces."""
        assert self.here(tmp_path)("alice@example.net") == UNAVAILABLE

    def test_found_ones_are_remembered(self, tmp_path: Path) -> None:
        """For some seconds a mailbox is not looked for again; a lost one is."""
        here = self.here(tmp_path)
        router = here.router
        here("alice@example.org")
        alice = Recipient(mailbox("alice@example.org"))
        assert isinstance(router.route(envelope(), alice), Route)
        (tmp_path / "example.org" / "alice" / "Maildir").rmdir()
        here.clock.advance(10)
        assert here("alice@example.org") == NO_SUCH_MAILBOX
        assert isinstance(router.route(envelope(), alice), Deferred)

    def test_memory_is_bounded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Only so many are remembered."""
        monkeypatch.setattr("mailframe_plugins.route_mailboxes.MAX_REMEMBERED", 1)
        here = self.here(tmp_path)
        for user in ("alice", "bob+fixed", "alice"):
            assert isinstance(here(f"{user}@example.org"), Route)
        users: Any = here.router._users
        assert len(users._known) == 1

    def test_no_local_part_leaves_the_folder(self, tmp_path: Path) -> None:
        """Traversal finds no mailbox, though the folder it points to exists."""
        (tmp_path / "etc").mkdir()
        here = self.here(tmp_path)
        odd = [each.address.local for each in odd_recipients()]
        for local in (*odd, ".", "..", "../../etc", "../example.org/alice", "alice/", "\0", "a\0b"):
            if local not in ("bob", "postmaster"):
                assert here(Mailbox(local, "example.org")) == NO_SUCH_MAILBOX, local

    @pytest.mark.parametrize("path", ["{domain}/../x", "/mail/{domain}", "/{name}"])
    def test_wrong_paths(self, tmp_path: Path, path: str) -> None:
        """A template that cannot tell users apart, or leaves its folder, is refused."""
        with pytest.raises(SettingError) as caught:
            Here(tmp_path, None, path=Path(path))
        assert caught.value.key == "path"

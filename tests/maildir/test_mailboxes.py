"""`[mailboxes]` as a value: where each one is, whose, how large, and who reads it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from mailframe.files.watched import LineError
from mailframe.maildir import NoSuchOwner, Owner, Quota
from mailframe.maildir.mailboxes import Mailboxes, parse_users
from mailframe.maildir.owner import owner_of_folder
from mailframe.maildir.owners import parse_owner
from mailframe.maildir.per_mailbox import parse
from mailframe.maildir.quota import parse_quota
from mailframe.setting import SettingError, Size
from mailframe.settings import MailboxSettings
from mailframe.smtp.address import Mailbox
from mailframe.testing.values import mailbox, mailboxes

NOBODY = pwd.getpwnam("nobody")
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
BOB, EVE = mailbox("bob@example.org"), mailbox("eve@shop.example")


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return Path(name)


def test_where_they_are(tmp_path: Path) -> None:
    """By template, all below its fixed part; two spellings of a domain are one place."""
    ours = mailboxes(tmp_path, "mail/{domain}/{user}/Maildir")
    assert ours.root == tmp_path / "mail"
    assert ours.path(BOB) == tmp_path / "mail/example.org/bob/Maildir"
    odd = Mailbox("../x", "münchen.example")
    assert ours.path(odd).is_relative_to(ours.root / "xn--mnchen-3ya.example")
    assert ours.path(Mailbox("bob", "x" * 300)).parent.parent.parent == ours.root
    found = ours.maildir(BOB)
    assert (found.path, found.root, found.owner) == (ours.path(BOB), ours.root, Owner())


def test_which_exist(tmp_path: Path) -> None:
    """Those with a folder; nobody knows if the folder of them all is missing."""
    ours = mailboxes(tmp_path, "mail/{domain}/{user}/Maildir")
    assert ours.exists(BOB) is None
    (tmp_path / "mail/example.org").mkdir(parents=True)
    assert ours.exists(BOB) is False
    ours.maildir(BOB).create()
    assert ours.exists(BOB) is True
    assert ours.exists(EVE) is None
    assert mailboxes(tmp_path, "mail/{domain}").exists(EVE) is False


@pytest.mark.parametrize(
    ("login", "address"),
    [
        ("bob@example.org", "bob@example.org"),
        ("BOB@Example.ORG", "bob@example.org"),
        ("bob@münchen.example", "bob@xn--mnchen-3ya.example"),
        ("bob", "bob@example.org"),
        ("sales", "alice@shop.example"),
        ("Sales", "alice@shop.example"),
        ("printer@example.org", "devices@example.org"),
        ('"b:b"@example.org', "eve@shop.example"),
        ("CORP\\eve", "eve@shop.example"),
        ("bob@[IPv6:2001:db8::1]", "bob@[2001:db8::1]"),
    ],
)
def test_who_reads_which(tmp_path: Path, login: str, address: str) -> None:
    """The file's word first; then the address of that name, in `domain` if it has none."""
    users = written(
        tmp_path,
        "users",
        "sales: alice@shop.example # hers\n# all machines\nprinter@example.org: devices\n"
        '"b:b"@example.org: eve@shop.example\ncorp\\eve: Eve@SHOP.example\n',
    )
    ours = mailboxes(tmp_path, users=users, domain="Example.org")
    found = ours.of_user(login)
    assert found is not None
    assert f"{found.local}@{found.domain}" == address


@pytest.mark.parametrize(
    "login", ["", "bob", "@example.org", "a b@example.org", "bob@", "b\0b@x.y"]
)
def test_who_reads_none(tmp_path: Path, login: str) -> None:
    """What is no address, and a bare name if no domain is said for those."""
    assert mailboxes(tmp_path).of_user(login) is None


def test_case_may_matter(tmp_path: Path) -> None:
    """Bob is not bob then, in domains it never does."""
    ours = mailboxes(tmp_path, case_sensitive=True)
    assert ours.of_user("Bob@EXAMPLE.org") == Mailbox("Bob", "example.org")


def test_quotas(tmp_path: Path) -> None:
    """This mailbox's, its user's, its domain's, that of all; None leaves it to maildirsize."""
    assert mailboxes(tmp_path).quota(BOB) is None
    file = written(
        tmp_path, "quotas", "bob@example.org: 5K, 100\nbob: 4K\n@shop.example: 3K\nana: 0\n"
    )
    ours = mailboxes(tmp_path, quotas=file, quota=Size(2048), quota_messages=9)
    for address, expected in {
        "Bob@example.org": Quota(5120, 100),
        "bob@shop.example": Quota(4096),
        "eve@SHOP.example": Quota(3072),
        "ana@example.org": Quota(),
        "eve@example.org": Quota(2048, 9),
    }.items():
        assert ours.quota(mailbox(address)) == expected
    assert ours.own_quota(mailbox("eve@example.org")) is None


def test_files_are_read_again(tmp_path: Path) -> None:
    """A wrong version changes nothing."""
    clock = Clock()
    settings = MailboxSettings(Path("{user}"), quotas=written(tmp_path, "quotas", "bob: 4K\n"))
    ours = Mailboxes.read(settings, tmp_path, clock.seconds)
    for text, expected in (("bob: 40K # more\n", 40960), ("bob 1\n", 40960)):
        written(tmp_path, "quotas", text)
        clock.advance(2)
        assert ours.quota(BOB) == Quota(expected)


def test_one_owner_for_all(tmp_path: Path) -> None:
    """By name or number; a group besides."""
    assert mailboxes(tmp_path, owner="nobody").owner(BOB) == Owner(NOBODY.pw_uid)
    assert mailboxes(tmp_path, owner="12", group="daemon").owner(BOB).uid == 12


def test_owners_by_template(tmp_path: Path) -> None:
    """The system's user of that name; a number is no name."""
    ours = mailboxes(tmp_path, owner="{user}", group="{user}")
    assert ours.owner(mailbox("daemon@example.org")) == Owner(1, 1)
    assert mailboxes(tmp_path, owner="{user}", group="7").owner(mailbox("daemon@x.y")).gid == 7
    for odd in ("no-such-user", "0", "a\0b", "r/oot"):
        with pytest.raises(NoSuchOwner):
            ours.owner(Mailbox(odd, "example.org"))


def test_owners_by_a_file(tmp_path: Path) -> None:
    """Single ones before all others."""
    file = written(tmp_path, "owners", "bob: daemon:daemon\n@shop.example: 1001:1002\n")
    ours = mailboxes(tmp_path, owners=file, owner="nobody")
    assert ours.owner(BOB) == Owner(1, 1)
    assert ours.owner(EVE) == Owner(1001, 1002)
    assert ours.owner(mailbox("ana@example.org")) == Owner(NOBODY.pw_uid)


@ROOT_ONLY
def test_owners_from_the_folder(tmp_path: Path) -> None:
    """Whoever owns the nearest folder that exists; this process's own user is nobody special."""
    ours = mailboxes(tmp_path, "mail/{user}/Maildir", owner="from the folder")
    home = tmp_path / "mail" / "bob"
    home.mkdir(parents=True)
    assert ours.owner(BOB) == Owner()
    os.chown(home, 1001, 1002)
    assert ours.owner(BOB) == Owner(1001, 1002)
    ours.maildir(BOB).create()
    assert owner_of_folder(ours.path(BOB) / "new") == Owner(1001, 1002)
    assert owner_of_folder(Path("/no/such/folder")) == Owner()
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        owner_of_folder(tmp_path / "file" / "x")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("path", Path("/m/{login}"), "placeholders"),
        ("owner", "no-such-user", "no user"),
        ("group", "no-such-group", "no group"),
        ("domain", "a b", "no domain"),
        ("quota", -1, "0 or more"),
        ("quota_messages", -1, "0 or more"),
        ("owners", Path("nowhere"), "nowhere: No such file"),
        ("quotas", Path("file"), "file:2: "),
        ("users", Path("file"), "file:2: "),
        ("owners", Path("file"), "file:1: bob@example.org: "),
    ],
)
def test_wrong_settings(tmp_path: Path, key: str, value: Any, words: str) -> None:
    """Each is refused at its key, a file with the line."""
    first = {"users": "bob: 9@x.example", "owners": "bob@example.org: no-such-user"}
    written(tmp_path, "file", f"{first.get(key, 'bob: 9')}\nnonsense\n")
    with pytest.raises(SettingError, match=words) as caught:
        mailboxes(tmp_path, **{key: value}) if key != "path" else mailboxes(tmp_path, str(value))
    assert caught.value.key == key


def test_a_group_besides_the_folders(tmp_path: Path) -> None:
    """Two words about one thing."""
    with pytest.raises(SettingError) as caught:
        mailboxes(tmp_path, owner="from the folder", group="mail")
    assert caught.value.key == "group"


@pytest.mark.parametrize(
    ("read", "text", "line"),
    [
        (lambda text: parse(text, parse_quota), "bob: 1G\nBOB: 2G\n", 2),
        (lambda text: parse(text, parse_quota), "a b@: 1G\n", 1),
        (lambda text: parse(text, parse_quota), "bob:\n", 1),
        (lambda text: parse(text, parse_quota), "bob: 1G, many\n", 1),
        (lambda text: parse(text, parse_quota), "bob: 1Q\n", 1),
        (lambda text: parse(text, parse_owner), "bob: :\n", 1),
        (lambda text: parse(text, parse_owner), "bob: root:no-such-group\n", 1),
        (parse_users, "a: b@x.example\nA: c@x.example\n", 2),
        (parse_users, "a: b\n", 1),
    ],
)
def test_wrong_lines(read: Callable[[str], object], text: str, line: int) -> None:
    """Named by their number."""
    with pytest.raises(LineError) as caught:
        read(text)
    assert caught.value.line == line


@pytest.mark.parametrize(
    ("settings", "keys"),
    [
        ({}, []),
        ({"owner": "12"}, []),
        ({"owner": "13"}, ["owner"]),
        ({"owner": "{user}", "group": "{user}"}, ["owner", "group"]),
        ({"group": "13"}, ["group"]),
        ({"owners": Path("mine")}, []),
        ({"owners": Path("others")}, ["owners"]),
        ({"owner": "from the folder"}, []),
    ],
)
def test_owners_without_rights_are_traps(
    tmp_path: Path, settings: dict[str, Any], keys: list[str]
) -> None:
    """A host that is not root can give nothing to others."""
    written(tmp_path, "mine", "bob: 12\n")
    written(tmp_path, "others", "bob: 12\neve: 13\n")
    ours = mailboxes(tmp_path, **settings)
    found = ours.traps(lambda uid, gid: uid in (-1, 12) and gid in (-1, 12))
    assert [key for key, _ in found] == keys
    assert not list(ours.traps(lambda uid, gid: True))


def test_one_maildir_for_all_is_a_trap(tmp_path: Path) -> None:
    """The path has no {user} in it."""
    ((key, words),) = mailboxes(tmp_path, "{domain}").traps(lambda uid, gid: True)
    assert (key, "{user}" in words) == ("path", True)

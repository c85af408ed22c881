"""`[[auth]] plugin = "passwords"`: real files, real scrypt."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import mailframe_plugins.auth_passwords as module
from mailframe.files.watched import LineError
from mailframe.interfaces import IUserStore
from mailframe.plugin import Duration, SettingError
from mailframe.testing.hooks import result_of
from mailframe.testing.plugins import CheckerContract
from mailframe.testing.values import site
from mailframe_plugins.auth_passwords import GoodLogins, Passwords, Scrypt, Settings, parse

CHEAP = str(Scrypt(n=2, salt=b"salt", hash=Scrypt(n=2, salt=b"salt").compute(b"right", 32)))


class Counted:
    """Threads that count what they are given, and do it at once or when told to."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, function: Any, *arguments: Any) -> Deferred[Any]:
        self.asked += 1
        return maybeDeferred(function, *arguments)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def threads() -> Counted:
    return Counted()


def checker(folder: Path, clock: Clock, threads: Counted, **settings: Any) -> Passwords:
    lent = site(folder, reactor=clock, in_thread=threads)
    return Passwords(Settings(file=Path("users"), **settings), lent)


def login(users: Passwords, name: str | bytes, password: str | bytes) -> Any:
    """The avatar's id, None for who must stay outside."""
    said = [text.encode() if isinstance(text, str) else text for text in (name, password)]
    try:
        return result_of(users.requestAvatarId(UsernamePassword(*said)))
    except UnauthorizedLogin:
        return None


class TestContract(CheckerContract, SynchronousTestCase):
    good = ("alice@example.org", "right")

    def make(self) -> Passwords:
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "users").write_text(f"alice@example.org:{CHEAP}\n")
        return Passwords(Settings(file=Path("users")), site(folder.absolute()))

    def test_it_is_a_user_store(self) -> None:
        """`mailframe user` can list and change its users."""
        verifyObject(IUserStore, self.make())


def test_users_are_added_changed_and_removed(
    tmp_path: Path, clock: Clock, threads: Counted
) -> None:
    """From no file at all; the file is for its owner alone; each line as documented."""
    users = checker(tmp_path, clock, threads)
    assert users.names() == []
    users.set_password("Bob@Example.org", "pässword", create=True)
    users.set_password("alice", "x", create=True)
    assert users.names() == ["alice", "bob@example.org"]
    file = tmp_path / "users"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().startswith("bob@example.org:scrypt$16384$8$1$")
    clock.advance(2)
    assert login(users, "BOB@example.org", "pässword") == b"bob@example.org"
    users.set_password("bob@example.org", "other", create=False)
    clock.advance(2)
    assert login(users, "bob@example.org", "pässword") is None
    assert users.test("bob@example.org", "other")
    assert not users.test("bob@example.org", "pässword")
    assert not users.test("nobody", "other")
    assert not users.test("", "")
    users.remove("bob@example.org")
    assert users.names() == ["alice"]
    assert [path.name for path in tmp_path.iterdir()] == ["users"]


def test_what_cannot_be_changed_says_so(tmp_path: Path, clock: Clock, threads: Counted) -> None:
    """KeyError for users who are there or not, ValueError for names, passwords and lines."""
    users = checker(tmp_path, clock, threads)
    users.set_password("bob", "x", create=True)
    with pytest.raises(KeyError):
        users.set_password("BOB", "x", create=True)
    with pytest.raises(KeyError):
        users.set_password("eve", "x", create=False)
    with pytest.raises(KeyError):
        users.remove("eve")
    for name in ("", " ", "a b", "a\nb", "#a", "x" * 256, "a\u200bb"):
        with pytest.raises(ValueError):
            users.set_password(name, "x", create=True)
    for password in ("", "a\nb", "a\0b", "x" * 256, "\ud800"):
        with pytest.raises(ValueError):
            users.set_password("new", password, create=True)
    with (tmp_path / "users").open("a") as file:
        file.write("nonsense\n")
    with pytest.raises(ValueError, match="users:2: name:scrypt"):
        users.set_password("new", "x", create=True)
    assert "new" not in (tmp_path / "users").read_text()


def test_a_change_keeps_the_rest_of_the_file(
    tmp_path: Path, clock: Clock, threads: Counted
) -> None:
    """Comments, order and other users stay; so do owner, group and the group's right to read."""
    file = tmp_path / "users"
    file.write_text(f"# staff\nalice:{CHEAP}\n\n# alice: not a user\nbob:{CHEAP}\n")
    file.chmod(0o644)
    if os.geteuid() == 0:
        os.chown(file, 4711, 4712)
    users = checker(tmp_path, clock, threads)
    users.set_password("alice", "new", create=False)
    lines = file.read_text().splitlines()
    assert lines[0] == "# staff" and lines[2:] == ["", "# alice: not a user", f"bob:{CHEAP}"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    if os.geteuid() == 0:
        assert (file.stat().st_uid, file.stat().st_gid) == (4711, 4712)
    users.remove("alice")
    assert file.read_text().splitlines() == [lines[0], *lines[2:]]


def test_changes_at_the_same_time_do_not_undo_each_other(tmp_path: Path, clock: Clock) -> None:
    """Several processes (here threads, each with its own lock) add users together."""

    def add(n: int) -> None:
        checker(tmp_path, Clock(), Counted()).set_password(f"user{n}", "x", create=True)

    adding = [threading.Thread(target=add, args=(n,)) for n in range(6)]
    for each in adding:
        each.start()
    for each in adding:
        each.join()
    assert len(checker(tmp_path, clock, Counted()).names()) == 6


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, clock: Clock, threads: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new file takes the old one's place in one step, or never."""
    users = checker(tmp_path, clock, threads)
    users.set_password("bob", "x", create=True)
    before = (tmp_path / "users").read_text()

    def full(_: int) -> None:
        raise OSError("full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        users.set_password("eve", "x", create=True)
    assert (tmp_path / "users").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["users"]


def test_a_good_login_is_remembered_for_a_while(
    tmp_path: Path, clock: Clock, threads: Counted
) -> None:
    """At once and without a thread the second time; not after `cache`; wrong ones never."""
    (tmp_path / "users").write_text(f"bob:{CHEAP}\n")
    users = checker(tmp_path, clock, threads, cache=Duration(300))
    for _ in range(3):
        assert login(users, "bob", "right") == b"bob"
    assert threads.asked == 1
    for _ in range(2):
        assert login(users, "bob", "wrong") is None
    assert threads.asked == 3
    clock.advance(301)
    assert login(users, "bob", "right") == b"bob"
    assert threads.asked == 4


def test_nothing_is_remembered_where_that_is_not_wished(
    tmp_path: Path, clock: Clock, threads: Counted
) -> None:
    """`cache = 0` asks scrypt each time."""
    (tmp_path / "users").write_text(f"bob:{CHEAP}\n")
    users = checker(tmp_path, clock, threads, cache=Duration(0))
    assert login(users, "bob", "right") and login(users, "bob", "right")
    assert threads.asked == 2


def test_a_changed_password_counts_at_once(tmp_path: Path, clock: Clock, threads: Counted) -> None:
    """What is remembered is the login with the line that was in the file."""
    (tmp_path / "users").write_text(f"bob:{CHEAP}\n")
    users = checker(tmp_path, clock, threads)
    assert login(users, "bob", "right")
    users.set_password("bob", "other", create=False)
    clock.advance(2)
    assert login(users, "bob", "right") is None
    assert login(users, "bob", "other")


def test_the_memory_of_logins_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go; nothing of a password is kept."""
    monkeypatch.setattr(module, "MAX_CACHED", 3)
    good = GoodLogins(300, lambda: 0.0)
    for n in range(5):
        good.add(f"user{n}", Scrypt(salt=b"s"), b"secret")
    kept = [(f"user{n}", Scrypt(salt=b"s"), b"secret") in good for n in range(5)]
    assert kept == [False, False, True, True, True]
    assert b"secret" not in b"".join(good._until)


def test_nobody_learns_which_users_there_are(
    tmp_path: Path, clock: Clock, threads: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown name costs the same scrypt, with the cost that the file's users have."""
    (tmp_path / "users").write_text(f"bob:{CHEAP}\n")
    users = checker(tmp_path, clock, threads)
    computed: list[tuple[int, int, int]] = []
    compute = Scrypt.compute

    def watched(self: Scrypt, password: bytes, length: int) -> bytes:
        computed.append((self.n, self.r, self.p))
        return compute(self, password, length)

    monkeypatch.setattr(Scrypt, "compute", watched)
    assert login(users, "bob", "wrong") is None
    assert login(users, "nobody", "wrong") is None
    assert computed == [(2, 8, 1)] * 2


def test_so_many_at_once_and_no_more(tmp_path: Path, clock: Clock) -> None:
    """Deliveries need threads too; who gives up waiting is forgotten."""
    (tmp_path / "users").write_text(f"bob:{CHEAP}\n")
    running: list[Deferred[bool]] = []

    def later(function: Any, *arguments: Any) -> Deferred[bool]:
        running.append(Deferred())
        return running[-1]

    users = Passwords(
        Settings(file=Path("users"), threads=2), site(tmp_path, reactor=clock, in_thread=later)
    )
    logins = [users.requestAvatarId(UsernamePassword(b"bob", b"right")) for _ in range(4)]
    assert len(running) == 2
    logins[2].cancel()
    logins[2].addErrback(lambda failure: None)
    running[0].callback(True)
    running[1].callback(True)
    assert len(running) == 3
    running[2].callback(False)
    assert result_of(logins[0]) == b"bob"
    with pytest.raises(UnauthorizedLogin):
        result_of(logins[3])


def test_passwords_are_compared_in_one_form(tmp_path: Path, clock: Clock, threads: Counted) -> None:
    """An ü typed as one character or as two is the same password; broken UTF-8 is none."""
    users = checker(tmp_path, clock, threads)
    users.set_password("jürgen", "schlüssel", create=True)
    clock.advance(2)
    assert login(users, "ju\u0308rgen", "schlu\u0308ssel") == "jürgen".encode()
    assert login(users, "jürgen", b"schl\xfcssel") is None
    assert login(users, b"j\xfcrgen", "schlüssel") is None


def test_the_file_is_read_again_and_a_bad_version_is_not(
    tmp_path: Path, clock: Clock, threads: Counted
) -> None:
    """A bad line keeps the users that were; a file that comes later is found."""
    users = checker(tmp_path, clock, threads)
    assert login(users, "bob", "right") is None
    file = tmp_path / "users"
    file.write_text("nonsense\n")
    clock.advance(2)
    assert login(users, "bob", "right") is None
    file.write_text(f"bob:{CHEAP}\n")
    clock.advance(2)
    assert login(users, "bob", "right")
    file.write_text(f"bob:{CHEAP}\nnonsense\n")
    clock.advance(2)
    assert login(users, "bob", "right")


def bad_lines() -> Iterator[tuple[str, str]]:
    yield "bob", "name:scrypt"
    yield "bob:plain", "scrypt\\$N"
    yield f"bob:{CHEAP}\nBOB:{CHEAP}", "there twice"
    yield f"a b:{CHEAP}", "no spaces"
    yield f":{CHEAP}", "1 to 255"
    yield "bob:scrypt$x$8$1$c2FsdA==$aGFzaA==", "numbers"
    yield "bob:scrypt$2$8$1$!$aGFzaA==", "base64"
    yield "bob:scrypt$3$8$1$c2FsdA==$" + "A" * 44, "power of 2"
    yield "bob:scrypt$1073741824$8$1$c2FsdA==$" + "A" * 44, "power of 2"
    yield "bob:scrypt$2$8$1$$" + "A" * 44, "salt"
    yield "bob:scrypt$2$8$1$c2FsdA==$aGFzaA==", "too short"


@pytest.mark.parametrize(("text", "problem"), list(bad_lines()))
def test_a_bad_line_is_named(
    tmp_path: Path, clock: Clock, threads: Counted, text: str, problem: str
) -> None:
    """With file and line at the start, so that nobody runs without his users."""
    (tmp_path / "users").write_text("# users\n" + text + "\n")
    with pytest.raises(LineError, match=problem):
        parse("# users\n" + text)
    with pytest.raises(SettingError, match=r"users:[23]: ") as caught:
        checker(tmp_path, clock, threads)
    assert caught.value.key == "file"


def test_a_file_that_cannot_be_read_is_refused(
    tmp_path: Path, clock: Clock, threads: Counted
) -> None:
    """A folder in its place, or what is not UTF-8; and no thread at all."""
    (tmp_path / "users").mkdir()
    with pytest.raises(SettingError):
        checker(tmp_path, clock, threads)
    (tmp_path / "users").rmdir()
    (tmp_path / "users").write_bytes(b"b\xfcb")
    with pytest.raises(SettingError):
        checker(tmp_path, clock, threads)
    with pytest.raises(SettingError) as caught:
        Passwords(Settings(file=Path("users"), threads=0), site(tmp_path))
    assert caught.value.key == "threads"


def test_the_cost_is_the_documented_one() -> None:
    """n = 2^14, r = 8, p = 1, a salt of 16 octets, different each time."""
    one, other = Scrypt.of(b"x"), Scrypt.of(b"x")
    assert (one.n, one.r, one.p, len(one.salt), len(one.hash)) == (16384, 8, 1, 16, 32)
    assert one.salt != other.salt
    assert Scrypt.parse(str(one)) == one
    assert one.matches(b"x") and not one.matches(b"y")

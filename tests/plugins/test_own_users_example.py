"""The example of users in an application's database keeps the contract, and does what it says."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from example_files import load
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailframe.plugin import SettingError
from mailframe.testing.hooks import result_of
from mailframe.testing.plugins import CheckerContract
from mailframe.testing.values import site

OWN: Any = load("own_users/own_users.py")
GOOD = ("alice@example.org", "wonderland")


def users(database: Path, **lent: Any) -> Any:
    return OWN.OwnUsers(OWN.OwnUsers.Settings(database), site(**lent))


class TestOwnUsers(CheckerContract, SynchronousTestCase):
    good = GOOD

    def make(self) -> Any:
        folder = Path(mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        OWN.add(folder / "users.sqlite", *GOOD)
        return users(folder / "users.sqlite")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    OWN.add(tmp_path / "users.sqlite", *GOOD)
    return tmp_path / "users.sqlite"


def said(name: bytes = GOOD[0].encode(), password: bytes = GOOD[1].encode()) -> Any:
    return UsernamePassword(name, password)


def test_a_new_password_counts_at_once(database: Path) -> None:
    """The application may change its table while the host runs."""
    checker = users(database)
    OWN.add(database, GOOD[0], "looking-glass")
    with pytest.raises(UnauthorizedLogin):
        result_of(checker.requestAvatarId(said()))
    found = result_of(checker.requestAvatarId(said(password=b"looking-glass")))
    assert found == GOOD[0].encode()


def test_nothing_is_done_outside_of_the_thread(database: Path) -> None:
    """The query and the hash are handed to it, together."""
    handed: list[Any] = []

    def in_thread(*work: Any) -> Deferred[Any]:
        handed.append(work)
        return Deferred()

    answer = users(database, in_thread=in_thread).requestAvatarId(said())
    assert not answer.called
    [(check, *arguments)] = handed
    assert check(*arguments) == GOOD[0].encode()


def test_an_unknown_user_costs_a_hash_too(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the time does not tell who there is."""
    asked: list[bytes] = []
    real = OWN.hashed
    monkeypatch.setattr(OWN, "hashed", lambda *given: asked.append(given[0]) or real(*given))
    with pytest.raises(UnauthorizedLogin):
        result_of(users(database).requestAvatarId(said(b"nobody", b"guess")))
    assert asked == [b"guess"]


def test_a_database_that_fails_refuses_nobody(database: Path) -> None:
    """It raises an error of its own, by which the client is told to try again later."""
    checker = users(database)
    database.write_bytes(b"no database at all, but as long as one may be" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        result_of(checker.requestAvatarId(said()))


def test_a_database_without_the_table_is_refused_at_the_start(tmp_path: Path) -> None:
    """By the setting's name."""
    with pytest.raises(SettingError, match="unable to open"):
        users(tmp_path / "absent.sqlite")
    sqlite3.connect(tmp_path / "empty.sqlite").close()
    with pytest.raises(SettingError, match="no such table: users") as wrong:
        users(tmp_path / "empty.sqlite")
    assert wrong.value.key == "database"

"""`[[auth]] plugin = "cred"`: any checker of twisted.cred."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from mailframe.plugin import Secret, SettingError
from mailframe.testing.hooks import result_of
from mailframe.testing.plugins import CheckerContract
from mailframe.testing.values import site
from mailframe_plugins.auth_cred import Cred, Settings


def cred(checker: str, thread: bool = False) -> Cred:
    return Cred(Settings(checker=Secret(checker), thread=thread), site())


class TestContract(CheckerContract, SynchronousTestCase):
    good = ("alice", "right")

    def make(self) -> Cred:
        return cred("memory:alice:right")


class TestContractInAThread(TestContract):
    def make(self) -> Cred:
        return cred("memory:alice:right", thread=True)


def test_a_file_of_passwords_serves(tmp_path: Path) -> None:
    """Twisted's own FilePasswordDB, name:password in each line."""
    (tmp_path / "passwd").write_text("bob:secret\n")
    users = cred(f"file:{tmp_path}/passwd")
    assert result_of(users.requestAvatarId(UsernamePassword(b"bob", b"secret"))) == b"bob"
    with pytest.raises(UnauthorizedLogin):
        result_of(users.requestAvatarId(UsernamePassword(b"bob", b"wrong")))


@pytest.mark.parametrize("checker", ["", "nope:x", "file:/no/such/file", "file:", "anonymous"])
def test_what_is_no_checker_for_passwords_is_refused(checker: str) -> None:
    """At the start; what stood in the description may be secret and is not repeated."""
    with pytest.raises(SettingError) as caught:
        cred(checker)
    assert caught.value.key == "checker"


@implementer(ICredentialsChecker)
class Odd:
    """A checker that answers what it was given."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def requestAvatarId(self, credentials: Any) -> Any:
        return self.answer


def test_nobody_is_nobody() -> None:
    """The anonymous avatar () and None let nobody in."""
    users = cred("memory")
    for nobody in ((), None, b""):
        users._checker = Odd(nobody)
        with pytest.raises(UnauthorizedLogin):
            result_of(users.requestAvatarId(UsernamePassword(b"a", b"b")))


def test_a_checker_that_waits_cannot_be_asked_in_a_thread() -> None:
    """What it waits for would come to the reactor's thread, if ever: a fault, not a wait."""
    users = cred("memory", thread=True)
    users._checker = Odd(Deferred())
    with pytest.raises(RuntimeError):
        result_of(users.requestAvatarId(UsernamePassword(b"a", b"b")))

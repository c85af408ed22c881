"""Becoming an ordinary user."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys

import pytest

from mailframe.host.privileges import Account, NoSuchAccount, account, become, may_give

NOBODY = pwd.getpwnam("nobody")


def test_no_user_is_no_account() -> None:
    """Without `user` there is nobody to become, whatever the group."""
    assert account(None, "daemon") is None
    assert become(None) is False


def test_the_group_is_the_users_own_by_default() -> None:
    """`group` overrides the user's primary group."""
    whom = account("nobody", None)
    assert whom is not None
    assert (whom.uid, whom.gid) == (NOBODY.pw_uid, NOBODY.pw_gid)
    other = account("nobody", "daemon")
    assert other is not None
    assert other.gid != whom.gid


@pytest.mark.parametrize(
    ("user", "group", "words"),
    [("no-such-user", None, "no user 'no-such-user'"), ("nobody", "nogrp", "no group 'nogrp'")],
)
def test_unknown_names_are_named(user: str, group: str | None, words: str) -> None:
    """An account that is not there is refused with its name."""
    with pytest.raises(NoSuchAccount, match=words):
        account(user, group)


BECOME = """
import json, os
from mailframe.host.privileges import account, become
did = become(account("nobody", None))
again = become(account("nobody", None))
try:
    os.setuid(0)
    back = True
except PermissionError:
    back = False
print(json.dumps([did, again, os.getresuid(), os.getresgid(), 0 in os.getgroups(), back]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
def test_root_rights_are_gone_for_good() -> None:
    """Real, effective and saved ids change, root's groups go, and there is no way back."""
    said = subprocess.check_output([sys.executable, "-c", BECOME], text=True)
    uid, gid = NOBODY.pw_uid, NOBODY.pw_gid
    assert json.loads(said) == [True, False, [uid] * 3, [gid] * 3, False, False]


def test_only_root_gives_files_away() -> None:
    """Others may keep them, and choose among their own groups."""
    root, nobody = Account("root", 0, 0), account("nobody", None)
    assert nobody is not None
    assert may_give(root, 12, 12)
    assert may_give(nobody, -1, -1)
    assert may_give(nobody, nobody.uid, nobody.gid)
    assert not may_give(nobody, 0, -1)
    assert not may_give(nobody, -1, 0)
    assert may_give(None, os.geteuid(), os.getegid())
    assert may_give(None, 12, 12) is (os.geteuid() == 0)

"""Gives up root's rights once ports are bound and keys are read."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass


class NoSuchAccount(ValueError):
    """The configuration names a user or group that this machine does not have.

    `key` is the setting: "user" or "group".
    """

    def __init__(self, key: str, name: str) -> None:
        super().__init__(f"there is no {key} {name!r} on this machine")
        self.key = key


@dataclass(frozen=True, slots=True)
class Account:
    """The user and the group that the host becomes, as the kernel knows them."""

    name: str
    uid: int
    gid: int


def account(user: str | None, group: str | None) -> Account | None:
    """The account that `user` and `group` of the configuration name; None if no user is given.

    By default the group is the user's own. Raises NoSuchAccount.
    """
    if user is None:
        return None
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise NoSuchAccount("user", user) from None
    try:
        gid = entry.pw_gid if group is None else grp.getgrnam(group).gr_gid
    except KeyError:
        raise NoSuchAccount("group", group or "") from None
    return Account(entry.pw_name, entry.pw_uid, gid)


def may_give(whom: Account | None, uid: int, gid: int) -> bool:
    """True if `whom` may give a file to this user and group; None means this process.

    -1 stands for no particular user or group. Root may give files to anybody. Other users can only
    keep them, and choose among their own groups.
    """
    if whom is None:
        me, groups = os.geteuid(), {os.getegid(), *os.getgroups()}
    else:
        me, groups = whom.uid, {whom.gid, *os.getgrouplist(whom.name, whom.gid)}
    return me == 0 or (uid in (-1, me) and gid in (-1, *groups))


def give(whom: Account | None, file: int) -> None:
    """Let the account that the host becomes read and write the open file.

    Only root can do this; otherwise nothing changes. If the account may already read the file, its
    owner stays. Raises OSError.
    """
    if whom is None or os.geteuid() != 0:
        return
    found = os.fstat(file)
    groups = {whom.gid, *os.getgrouplist(whom.name, whom.gid)}
    by_group = found.st_gid in groups and found.st_mode & 0o040
    if found.st_uid != whom.uid and not by_group and not found.st_mode & 0o004:
        os.fchown(file, whom.uid, whom.gid)


def become(whom: Account | None) -> bool:
    """Give up root's rights for good; False if there is nothing to give up.

    That is so if no account is configured, or if this process is not root (any more, after twistd's
    `--uid` or by a service manager). Afterwards no call can bring the rights back.
    """
    if whom is None or os.geteuid() != 0:
        return False
    os.initgroups(whom.name, whom.gid)
    # The group first: without root's rights it could not be changed any more.
    os.setresgid(whom.gid, whom.gid, whom.gid)
    os.setresuid(whom.uid, whom.uid, whom.uid)
    return True

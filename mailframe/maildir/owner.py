"""The owner of what is created in a Maildir: numbers, found by name or by the folder.

It uses neither Twisted nor the configuration, because a delivery process uses it as well.
"""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass
from pathlib import Path

#: A user and a group, each by number (-1 for no particular one) or by name.
Named = tuple[int | str, int | str]


class NoSuchOwner(LookupError):
    """This machine has no such user or group."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of what is created: a user's and a group's number, -1 for no particular one."""

    uid: int = -1
    gid: int = -1

    @property
    def chosen(self) -> bool:
        """False if files stay with the user of this process."""
        return self.uid != -1 or self.gid != -1


def owner_by_name(named: Named) -> Owner:
    """The owner with these names or numbers.

    NoSuchOwner. May ask a directory service, and so block.
    """
    user, group = named
    return Owner(
        user if isinstance(user, int) else user_number(user),
        group if isinstance(group, int) else group_number(group),
    )


def owner_of_folder(path: Path) -> Owner:
    """The owner of the nearest folder that exists: `path` itself or one above. Blocks. OSError.

    If that is this process's own user, the result names no particular owner.
    """
    for folder in (path, *path.parents):
        try:
            found = os.stat(folder)
        except FileNotFoundError:
            continue
        # Only root may give a file to a group that it is not in; mode 0600 lets no group in anyway.
        return Owner() if found.st_uid == os.geteuid() else Owner(found.st_uid, found.st_gid)
    return Owner()


def user_number(name: str) -> int:
    """The number of the user of this name. NoSuchOwner."""
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        raise NoSuchOwner(f"there is no user {name!r} on this machine") from None


def group_number(name: str) -> int:
    """The number of the group of this name. NoSuchOwner."""
    try:
        return grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        raise NoSuchOwner(f"there is no group {name!r} on this machine") from None

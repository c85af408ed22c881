"""The owners of mailboxes' files, as the settings give them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..setting import SettingError
from ..smtp.address import Mailbox
from .owner import Named, NoSuchOwner, Owner, group_number, owner_by_name, user_number
from .per_mailbox import PerMailbox

#: The value of the setting `owner` that takes the owner of the existing folder.
FROM_THE_FOLDER = "from the folder"

_PLACEHOLDER = re.compile(r"\{(user|domain)\}")


@dataclass(frozen=True)
class Owners:
    """Finds the owner of a mailbox's files; it is `everyone` if nothing else is set.

    `user` and `group` are names with {user} or {domain} in them, "" for those of `everyone`. If
    `from_folder` is True, the owner of the nearest folder that exists is taken. `single` is asked
    before all of these.
    """

    everyone: Owner = Owner()
    user: str = ""
    group: str = ""
    from_folder: bool = False
    single: PerMailbox[Owner] | None = None

    @classmethod
    def read(
        cls, owner: str | None, group: str | None, single: PerMailbox[Owner] | None = None
    ) -> Owners:
        """Make it from the settings of these names.

        SettingError for users and groups that do not exist.
        """
        from_folder = owner == FROM_THE_FOLDER
        if from_folder and group is not None:
            raise SettingError("group", f'owner = "{FROM_THE_FOLDER}" takes the group from there')
        user = owner if owner and _PLACEHOLDER.search(owner) else ""
        of_group = group if group and _PLACEHOLDER.search(group) else ""
        everyone = Owner(
            -1 if user or from_folder else _number("owner", owner, user_number),
            -1 if of_group else _number("group", group, group_number),
        )
        return cls(everyone, user, of_group, from_folder, single)

    def own(self, mailbox: Mailbox) -> Named | None:
        """The owner of this mailbox alone; None if it has the owner that all have."""
        found = self.single.of(mailbox) if self.single is not None else None
        if found is not None:
            return found.uid, found.gid
        if not (self.user or self.group):
            return None
        return (
            _filled(self.user, mailbox) if self.user else self.everyone.uid,
            _filled(self.group, mailbox) if self.group else self.everyone.gid,
        )

    def without_rights(self, may_give: Callable[[int, int], bool]) -> Iterator[str]:
        """The settings that name an owner to whom this host could not give files.

        `may_give` says whether it could, for a user's and a group's number (-1 for no particular
        one).
        """
        # A template may name any user, and only root may give files to any user.
        if not may_give(0 if self.user else self.everyone.uid, -1):
            yield "owner"
        if not may_give(-1, 0 if self.group else self.everyone.gid):
            yield "group"
        if self.single and not all(may_give(each.uid, each.gid) for each in self.single.all()):
            yield "owners"


def parse_owner(text: str) -> Owner:
    """ "alice", "alice:mail" or "1001:1001". ValueError if this machine has no such owner."""
    user, _, group = map(str.strip, text.partition(":"))
    try:
        return owner_by_name((_number_or_name(user), _number_or_name(group) if group else -1))
    except NoSuchOwner as wrong:
        raise ValueError(str(wrong)) from None


def _number_or_name(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _number(key: str, name: str | None, look_up: Callable[[str], int]) -> int:
    """The user's or group's number; -1 if none is set."""
    if name is None:
        return -1
    try:
        return int(name) if name.isdecimal() else look_up(name)
    except NoSuchOwner as wrong:
        raise SettingError(key, str(wrong)) from None


def _filled(template: str, mailbox: Mailbox) -> str:
    values = {"user": mailbox.local, "domain": mailbox.domain}
    return _PLACEHOLDER.sub(lambda match: values[match.group(1)], template)

"""Delivers messages to mailboxes, many together, by the rules of one `[deliver.NAME]`.

It does not use Twisted, because it runs both in a thread and in the process of `child`. Everything
here blocks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from ...final_delivery import LineEnds, delivered_to
from ...message import Content
from ...mime.final_fields import final_fields, is_among
from ..filename import UniqueNames
from ..mailbox import Maildir
from ..names import safe_name
from ..owner import Named, NoSuchOwner, Owner, owner_by_name, owner_of_folder
from ..quota import Quota, is_full
from .copies import Copy, deliver

MAX_REMEMBERED = 10_000  # mailboxes
CLEAN_EVERY = 86400.0  # seconds


class BeenHere(Exception):
    """The message has come back to a mailbox that it was in before."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules for all mailboxes of an agent; plain values, so that they can be sent to a process.

    No path leads out of `root`. Files belong to `uid` and `gid`, where -1 means no particular one.
    If `from_folder` is True, they belong to the owner of the nearest folder that exists. `octets`
    and `messages` are the quota; 0 and 0 mean the one in the mailbox's maildirsize.
    """

    hostname: str
    root: str
    uid: int = -1
    gid: int = -1
    from_folder: bool = False
    octets: int = 0
    messages: int = 0
    create: bool = True
    line_ends: LineEnds = "lf"
    syncfs_from: int = 0

    @property
    def quota(self) -> Quota | None:
        """The quota of all mailboxes; None if each has its own or none."""
        return Quota(self.octets, self.messages) if self.octets or self.messages else None


class Addressee(NamedTuple):
    """A mailbox that gets a message: the path of its Maildir, and addresses as texts.

    `tag` names the Maildir++ folder to use, if that exists. `sender` is "" for the null
    reverse-path. `original` is "" if X-Original-To is not wanted. `owner` and `quota` (octets and
    messages) are this mailbox's own; if they are None, the Rules apply.
    """

    account: str
    tag: str
    sender: str
    address: str
    original: str
    owner: Named | None = None
    quota: tuple[int, int] | None = None


class Task(NamedTuple):
    """One message, and all mailboxes that it goes to.

    `line_ends` is None if those of the Rules apply. A task for another process always has None.
    """

    content: Content
    addressees: Sequence[Addressee]
    line_ends: LineEnds | None = None


#: For each addressee of a task: None, which promises that the copy survives a power cut, or the
#: reason why it was not delivered: OSError, OverQuota, NoSuchOwner, BeenHere or another exception.
Results = Sequence[Exception | None]


def _silent(path: Path, problem: OSError) -> None:
    """Does nothing."""


@dataclass
class Deliverer:
    """Delivers tasks by the rules. Several threads may use it at once.

    `now` gives seconds since the epoch. `tell` is called if a tmp could not be cleaned, which
    delays no mail.
    """

    rules: Rules
    now: Callable[[], float] = time.time
    tell: Callable[[Path, OSError], None] = _silent
    _cleaned: dict[Path, float] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._everyone = Owner(self.rules.uid, self.rules.gid)
        self._names = UniqueNames(self.rules.hostname, self.now)
        self._maildir = lru_cache(MAX_REMEMBERED)(self._located)
        self._named = lru_cache(MAX_REMEMBERED)(owner_by_name)

    def deliver(self, tasks: Sequence[Task]) -> list[Results]:
        """Deliver all tasks together, so that they share the syncs."""
        decided: list[list[Copy | Exception]] = [self._prepared(task) for task in tasks]
        copies = [item for items in decided for item in items if isinstance(item, Copy)]
        rules = self.rules
        ends = iter(deliver(copies, self._names, rules.syncfs_from))
        results: list[Results] = [
            [next(ends) if isinstance(item, Copy) else item for item in items] for items in decided
        ]
        self._clean(copies)
        return results

    def is_full(self, to: Addressee, octets: int) -> bool:
        """True if the mailbox has no room for so many octets. OSError, NoSuchOwner."""
        account = self._maildir(to.account, self._owner(to))
        return is_full(account, self._quota(to), octets, self._names.new(), self.now())

    def _quota(self, to: Addressee) -> Quota | None:
        return self.rules.quota if to.quota is None else Quota(*to.quota)

    def _prepared(self, task: Task) -> list[Copy | Exception]:
        """For each addressee a copy to be written, or the reason why there is none."""
        try:
            seen = delivered_to(task.content)
        # An error with one message must not touch the others.
        except Exception as failed:  # noqa: BLE001
            return [failed] * len(task.addressees)
        return [
            BeenHere() if is_among(each.address, seen) else self._copy(task, each)
            for each in task.addressees
        ]

    def _copy(self, task: Task, to: Addressee) -> Copy | Exception:
        try:
            account = self._maildir(to.account, self._owner(to))
        # An error with one mailbox must not touch the others.
        except (NoSuchOwner, OSError) as failed:
            return failed
        folder = _tagged(account, to.tag) if to.tag else account
        head = final_fields(to.sender, to.address, to.original)
        ends = task.line_ends or self.rules.line_ends
        return Copy(folder, head, task.content, account, self._quota(to), self.rules.create, ends)

    def _owner(self, to: Addressee) -> Owner:
        """The owner of what is written for this addressee. NoSuchOwner, OSError."""
        if to.owner is not None:
            return self._named(to.owner)
        if self.rules.from_folder:
            return owner_of_folder(Path(to.account))
        return self._everyone

    def _located(self, path: str, owner: Owner) -> Maildir:
        return Maildir(Path(path), Path(self.rules.root), owner)

    def _clean(self, copies: Iterable[Copy]) -> None:
        """Once a day, remove what a crash left in the tmp of each Maildir that gets mail now."""
        now = self.now()
        for folder in {copy.folder for copy in copies}:
            if now - self._cleaned.get(folder.path, 0.0) < CLEAN_EVERY:
                continue
            if len(self._cleaned) >= MAX_REMEMBERED:
                self._cleaned.clear()
            self._cleaned[folder.path] = now
            try:
                folder.clean(now)
            except OSError as failed:
                self.tell(folder.path, failed)


def _tagged(account: Maildir, tag: str) -> Maildir:
    """The folder for this tag if it exists, else the inbox."""
    try:
        folder = account.folder(safe_name(tag))
    except ValueError:  # a tag such as "a..b" cannot be the name of a folder
        return account
    return folder if folder.exists() else account

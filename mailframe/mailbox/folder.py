"""One Maildir folder as POP3 and IMAP see it: messages in the order of their UIDs."""

from __future__ import annotations

import contextlib
import os
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

from ..files.sync import sync_folder
from ..maildir import quota
from ..maildir.filename import FileName, UniqueNames
from ..maildir.mailbox import Maildir
from . import flags as flag_names
from .beside import open_file
from .doubles import part_doubles
from .flags import How
from .keywords import KeywordFile
from .lock import STALE, TIMEOUT, LockLost, MailboxBusy
from .scan import Scan, folder_times, scan
from .uidlist import MAX_UID, UidList
from .wire_size import sizes_of

T = TypeVar("T")

_TRIES = 3  # that a message is looked for under a new name
_FEW = 64  # records of messages that are gone, for which the list is not written anew


class NoSuchMessage(LookupError):
    """The folder has no message of this UID, or has it no longer."""


class UidValidityChanged(Exception):
    """The UIDs that this object knows mean nothing any more: the list was lost and made anew."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a refresh found, as UIDs in ascending order: new messages, messages that are gone, and
    messages with other flags than before.
    """

    added: tuple[int, ...] = ()
    gone: tuple[int, ...] = ()
    flagged: tuple[int, ...] = ()


class Folder:
    """The messages of `maildir`, a folder of the account with the Maildir `account`.

    Making one reads the folder and gives UIDs to new messages. If `move`, messages in new are moved
    to cur, as the first reader does; `recent` are the UIDs of those that this object has moved.
    `names` names copies of messages that are there twice. All methods block, may be called by one
    thread at a time, and raise MailboxBusy, OSError and, for a UID, NoSuchMessage.
    """

    def __init__(
        self,
        maildir: Maildir,
        account: Maildir,
        names: UniqueNames,
        *,
        move: bool = True,
        timeout: float = TIMEOUT,
        stale: float = STALE,
    ) -> None:
        maildir.check("cur")
        self.maildir, self.account = maildir, account
        self._names, self._move = names, move
        self._list = UidList(maildir, account, names.now, timeout, stale)
        self.keywords = KeywordFile(maildir)
        self.validity = 0
        self.next_uid = 1
        self.uids = array("I")
        self.recent: set[int] = set()
        self._bases: list[str] = []  # in the order of `uids`
        self._uid: dict[str, int] = {}
        self._file: dict[str, str] = {}
        self._clean_times: tuple[int, ...] = ()
        self._list_state: tuple[int, ...] = ()
        self._doubles: dict[str, tuple[str, ...]] = {}
        self.refresh()

    @property
    def id(self) -> str:
        """The folder's own id, which stays if it is renamed (RFC 8474 section 4)."""
        return self._list.guid

    def refresh(self) -> Changes:
        """Take in what others have changed. UidValidityChanged.

        New messages have UIDs that were not below `next_uid`. A message is only gone if a clean
        scan did not find it.
        """
        self._list.read()
        self.keywords.read()
        if self._is_unchanged():
            return Changes()
        known = dict(self._list.uid_of)
        told = self._list.next_uid
        found = scan(self.maildir.path, self._move)
        self._list.read()
        self._give_uids(found)
        self._check_validity()
        self.validity = self._list.validity
        changes = self._take(found)
        self.next_uid = max(self.next_uid, told, self.uids[-1] + 1 if self.uids else 1)
        self.recent.update(self._uid[base] for base in found.moved if base in self._uid)
        if found.clean:
            self._clean_times, self._list_state = found.times, self._list.state
            # What was found is told in any case; these are tried again after a later scan.
            with contextlib.suppress(OSError, MailboxBusy, LockLost):
                self._part(found)
                self._drop_records(found, known)
        return changes

    def _check_validity(self) -> None:
        if self._list.exists and self.validity not in (0, self._list.validity):
            raise UidValidityChanged(str(self.maildir.path))

    def _is_unchanged(self) -> bool:
        return (
            self._list.exists
            and not self._doubles
            and self._list_state == self._list.state
            and self._clean_times == folder_times(self.maildir.path)
        )

    def _without_uid(self, found: Scan) -> set[str]:
        """The messages that want a new UID: those without one, and those that come too late.

        These came back, or an unclean scan missed them: clients know that nothing new comes below
        the next UID that they were told (RFC 9051 section 2.3.1.1).
        """
        listed, there = self._list.uid_of, found.files.keys()
        new = there - listed.keys()
        if self.next_uid == 1:
            return new
        others = there - self._uid.keys()
        others.update(b for b, u in self._uid.items() if b in there and listed.get(b) != u)
        return new | {base for base in others if listed.get(base, MAX_UID) < self.next_uid}

    def _give_uids(self, found: Scan) -> None:
        self._check_validity()
        if self._list.exists and not self._without_uid(found):
            return
        with self._list.locked() as lock:
            self._list.read()
            self._check_validity()
            self._list.assign(lock, sorted(self._without_uid(found)))

    def _take(self, found: Scan) -> Changes:
        files = found.files
        if not found.clean:
            files = {**self._missed(found), **files}
        listed, before, old = self._list.uid_of, self._uid, self._file
        uid_of = {base: uid for base, uid in listed.items() if base in files}
        if len(uid_of) < len(files):  # an unclean scan has not found what others have dropped
            uid_of.update((base, before[base]) for base in files.keys() - uid_of.keys())
            uid_of = dict(sorted(uid_of.items(), key=lambda pair: pair[1]))
        renamed = [base for base, file in files.items() if base in old and file != old[base]]
        flagged = [
            uid_of[base]
            for base in renamed
            if uid_of[base] == before[base] and _info(files[base]) != _info(old[base])
        ]
        changes = Changes(
            tuple(uid for base, uid in uid_of.items() if before.get(base) != uid),
            tuple(uid for base, uid in before.items() if uid_of.get(base) != uid),
            tuple(sorted(flagged)),
        )
        self.uids, self._bases = array("I", uid_of.values()), list(uid_of)
        self._uid, self._file = uid_of, files
        self.recent.difference_update(changes.gone)
        return changes

    def _missed(self, found: Scan) -> dict[str, str]:
        """The files of messages that an unclean scan has not found, and that may be there yet."""
        listed = self._list.uid_of
        missing = self._uid.keys() - found.files.keys()
        return {
            base: self._file[base]
            for base in missing
            if listed.get(base, self._uid[base]) == self._uid[base]
        }

    def _part(self, found: Scan) -> None:
        """Give messages that share a name names of their own, once two clean scans found them."""
        sure = {b: files for b, files in found.doubles.items() if self._doubles.get(b) == files}
        self._doubles = {b: files for b, files in found.doubles.items() if b not in sure}
        if sure:
            with self._list.locked() as lock:
                part_doubles(self.maildir.path, sure, self._names, lock)

    def _drop_records(self, found: Scan, known: dict[str, int]) -> None:
        """Write the list without messages that are gone, once they are a quarter of it."""
        gone = known.keys() - found.files.keys()
        if len(gone) < max(_FEW, len(self._list.uid_of) // 4):
            return
        with self._list.locked() as lock:
            self._list.read()
            # One that came back meanwhile has another UID.
            same = {base for base in gone if self._list.uid_of.get(base) == known[base]}
            if same:  # else somebody was faster
                self._list.rewrite(lock, without=same)

    def _base(self, uid: int) -> str:
        index = bisect_left(self.uids, uid)
        if index == len(self.uids) or self.uids[index] != uid:
            raise NoSuchMessage(uid)
        return self._bases[index]

    def flags(self, uid: int) -> frozenset[str]:
        r"""The flags as of the last refresh or change here: \Seen, $Forwarded."""
        return flag_names.flags_of(self._file[self._base(uid)], self.keywords)

    def open(self, uid: int) -> BinaryIO:
        """The message's octets, with line ends as they are stored."""

        def attempt(file: str) -> BinaryIO:
            return open(open_file(self.maildir.path / file), "rb")

        return self._with_file(self._base(uid), attempt)

    def size(self, uid: int) -> int:
        """Octets with every line ended by CRLF: RFC822.SIZE, and what POP3 lists.

        If the name does not say it, the message is read once, and `close` writes the size down.
        """
        base = self._base(uid)
        said = FileName(base).wire_size
        if said is None:
            field = self._list.field(base, "W")
            said = int(field) if field and field.isascii() and field.isdecimal() else None
        if said is None:
            with self.open(uid) as file:
                size, said = sizes_of(file)
            self._list.learn(base, {"S": str(size), "W": str(said)})
        return said

    def store_flags(self, uids: Iterable[int], flags: Iterable[str], how: How) -> list[int]:
        """Add, remove or replace flags; the UIDs of the messages that were there.

        Flags that another session changes at the same time stay as it wants them. ValueError for
        what is no flag, KeywordsFull; then nothing has changed. This is not synced.
        """
        chosen = list(flags)
        keywords = flag_names.keywords_among(chosen)
        if how != "remove" and any(self.keywords.letter(word) is None for word in keywords):
            with self._list.locked() as lock:
                self.keywords.add(keywords, lock)
        return [uid for uid in uids if self._change(uid, chosen, how)]

    def _change(self, uid: int, flags: list[str], how: How) -> bool:
        def attempt(file: str) -> str:
            name = file.partition("/")[2]
            new = flag_names.changed(name, flags, how, self.keywords)
            # A message in new has no info yet; it stays there if nothing changes.
            if FileName.parse(new) == FileName.parse(name):
                os.lstat(self.maildir.path / file)  # is it still there?
                return file
            there = f"cur/{new}"
            if os.path.lexists(self.maildir.path / there):
                os.lstat(self.maildir.path / file)  # or did another session rename it to that?
                raise FileExistsError(f"{self.maildir.path / there}: two files of one message")
            os.rename(self.maildir.path / file, self.maildir.path / there)
            return there

        with contextlib.suppress(NoSuchMessage):
            base = self._base(uid)
            self._file[base] = self._with_file(base, attempt)
            return True
        return False

    def expunge(self, uids: Iterable[int], *, only_deleted: bool = False) -> list[int]:
        r"""Remove messages; the UIDs of those that this call removed, durably.

        If `only_deleted`, a message without \Deleted stays. After an OSError some may be removed;
        a refresh tells.
        """
        octets, removed = 0, list[int]()
        try:
            for uid in uids:
                with contextlib.suppress(NoSuchMessage):
                    size = self._remove(self._base(uid), only_deleted)
                    if size is not None:
                        octets += size
                        removed.append(uid)
        finally:
            if removed:
                self._forget(removed)
                if self.maildir.path.name != ".Trash":  # which quotas do not count
                    quota.add(self.account, -octets, -len(removed))
                for inside in ("cur", "new"):
                    sync_folder(self.maildir.path / inside)
        return removed

    def _remove(self, base: str, only_deleted: bool) -> int | None:
        """Remove the message; its octets on disk. None if it is not to be removed."""

        def attempt(file: str) -> int | None:
            if only_deleted and "T" not in FileName.parse(file).flags:
                os.lstat(self.maildir.path / file)  # it may have been marked under another name
                return None
            size = FileName.parse(file).size
            if size is None:
                size = os.lstat(self.maildir.path / file).st_size
            os.unlink(self.maildir.path / file)
            return size

        return self._with_file(base, attempt)

    def _forget(self, removed: Iterable[int]) -> None:
        for uid in removed:
            base = self._bases[bisect_left(self.uids, uid)]
            del self._uid[base], self._file[base]
        self._bases = [base for base in self._bases if base in self._uid]
        self.uids = array("I", map(self._uid.__getitem__, self._bases))
        self.recent.difference_update(removed)

    def _with_file(self, base: str, attempt: Callable[[str], T]) -> T:
        """What `attempt` returns for the message's file, which others may rename at any time."""
        for _ in range(_TRIES):
            with contextlib.suppress(FileNotFoundError):
                return attempt(self._file[base])
            self._look_up()
        raise NoSuchMessage(base)

    def _look_up(self) -> None:
        """Find the files of all known messages again."""
        for base, file in scan(self.maildir.path, move=False, tries=2).files.items():
            if base in self._file:
                self._file[base] = file

    def close(self) -> None:
        """Write down the sizes that were found out by reading. MailboxBusy, OSError."""
        if self._list.has_learned:
            with self._list.locked() as lock:
                self._list.read()
                self._list.rewrite(lock)


def _info(file: str) -> str:
    return file.partition(":2,")[2]

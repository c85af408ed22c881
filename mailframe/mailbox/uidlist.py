"""`dovecot-uidlist`, version 3: which UID each message of a folder has.

    3 V1763840000 N46 G8a5c...        UIDVALIDITY, the next UID, the folder's own id
    44 W1240 :1763840000.M1P2.mx      UID, fields, the part of the file's name that stays
    45 :1763840001.M1P2.mx,S=9,W=10

Records are appended, and now and then the file is replaced as a whole, both under its dotlock. A
line that is not ended does not count. Of two records for one name the later counts. Fields that we
do not know are kept (src/lib-storage/index/maildir/maildir-uidlist.c).
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from ..maildir.mailbox import Maildir
from .beside import open_file, replace, write_all
from .lock import STALE, TIMEOUT, DotLock
from .uidvalidity import next_uidvalidity

NAME = "dovecot-uidlist"
MAX_UID = (1 << 32) - 1  # RFC 9051 section 9: nz-number

_HEADER = re.compile(r"3((?: [A-Za-z]\S*)*) *\r?")
_OTHER_VERSION = re.compile(r"\d+(?: .*)?")


class OtherVersion(Exception):
    """The file is of a version that we do not know, and so must not replace."""


class UidList:
    """The list of one folder, as it was when `read` was called last.

    `account` is the Maildir in whose root the last UIDVALIDITY is kept; `now` gives seconds since
    the epoch. `exists` is False if there was no list that could be used: the first `assign` makes
    one, with a new UIDVALIDITY. Not for several threads at once.
    """

    def __init__(
        self,
        maildir: Maildir,
        account: Maildir,
        now: Callable[[], float] = time.time,
        timeout: float = TIMEOUT,
        stale: float = STALE,
    ) -> None:
        self._maildir, self._account, self._now = maildir, account, now
        self._path = maildir.path / NAME
        self._waits = timeout, stale
        self._learned: dict[str, dict[str, str]] = {}  # fields to write with the next whole file
        self._validity_before = 0
        self._forget()

    def _forget(self) -> None:
        self.exists = False
        self.validity = 0
        self.next_uid = 1
        self.guid = ""
        self.uid_of: dict[str, int] = {}  # by the name's part that stays, in the order of UIDs
        self._fields: dict[str, str] = {}
        self._other_header: list[str] = []
        self._last = 0  # the UID of the last record
        self._state: tuple[int, ...] = ()
        self._begin = b""  # the header line
        self._end = 0  # octets of the file that were read: whole lines
        self._tail = b""  # the last line of these
        self._damaged = False  # there are lines that do not count

    @property
    def state(self) -> tuple[int, ...]:
        """Changes if the file has changed; an empty tuple if there is none."""
        return self._state

    def locked(self) -> DotLock:
        """The lock for `with`. MailboxBusy."""
        timeout, stale = self._waits
        return DotLock(self._path, timeout, stale)

    def read(self) -> None:
        """Take in what others have written; it is on disk when this returns.

        OSError, OtherVersion.
        """
        try:
            file = open_file(self._path)
        except FileNotFoundError:
            self._validity_before = max(self._validity_before, self.validity)
            self._forget()
            return
        with open(file, "rb") as reader:
            state = _state(os.fstat(file))
            if state == self._state:
                return
            if self._continues(reader.fileno()):
                reader.seek(self._end)
            else:
                self._validity_before = max(self._validity_before, self.validity)
                self._forget()
            octets = reader.read()
            # Its writer may be about to sync it; no client may hear of a UID before that.
            os.fdatasync(file)
        self._take(octets)
        self._state = state

    def _continues(self, file: int) -> bool:
        """True if the file begins with what was read, so that only its end is new.

        The inode number alone does not say so: a new file may have that of one removed before.
        """
        if not self.exists or os.fstat(file).st_ino != self._state[1]:
            return False
        start = self._end - len(self._tail)
        return (
            os.pread(file, len(self._begin), 0) == self._begin
            and os.pread(file, len(self._tail), start) == self._tail
        )

    def _take(self, octets: bytes) -> None:
        whole = octets[: octets.rfind(b"\n") + 1]
        if not self.exists:
            if whole:
                self._take_header(whole[: whole.index(b"\n") + 1])
            if not self.exists:
                return
            self._end += len(self._begin)
            whole, octets = whole[len(self._begin) :], octets[len(self._begin) :]
        self._damaged = self._damaged or len(whole) < len(octets)
        self._end += len(whole)
        if whole:
            self._tail = whole[whole.rfind(b"\n", 0, -1) + 1 :]
            self._take_records(os.fsdecode(whole))

    def _take_header(self, line: bytes) -> None:
        text = os.fsdecode(line[:-1])
        match = _HEADER.fullmatch(text)
        if match is None:
            if _OTHER_VERSION.fullmatch(text.rstrip("\r")) and not text.startswith("3"):
                raise OtherVersion(f"{self._path}: version {text.split()[0]}")
            return
        words = match[1].split()
        found = {word[0]: word[1:] for word in words}
        validity, following = _number(found.get("V", "")), _number(found.get("N", ""))
        if not validity or not following:
            return
        self.exists, self._begin = True, line
        self.validity, self.next_uid, self.guid = validity, following, found.get("G", "")
        self._other_header = [word for word in words if word[0] not in "VNG"]

    def _take_records(self, text: str) -> None:
        last, uid_of, fields = self._last, self.uid_of, self._fields
        # Not as other programs write it: with CRLF, or with flags behind a second colon.
        odd = "\r" in text or text.count(":") > text.count("\n")
        for line in text[:-1].split("\n"):
            head, _, base = line.partition(" :")
            number, _, said = head.partition(" ")
            if odd:
                base = base.rstrip("\r").partition(":")[0]
            # Plain digits, without a call for each of a hundred thousand lines.
            plain = len(number) < 10 and number.isascii() and number.isdecimal()
            uid = int(number) if plain else _number(number)
            if not base or uid <= last:
                self._damaged = True
                continue
            last = uid
            if base in uid_of:
                del uid_of[base]  # the new one is the last, not in the old one's place
                fields.pop(base, None)
            uid_of[base] = uid
            if said:
                fields[base] = said
        self._last = last
        self.next_uid = max(self.next_uid, last + 1)

    def field(self, base: str, key: str) -> str | None:
        """The value of a field of this message's record, such as S (octets) or W; None if none."""
        learned = self._learned.get(base, {}).get(key)
        if learned is not None:
            return learned
        for word in self._fields.get(base, "").split():
            if word[0] == key:
                return word[1:]
        return None

    def learn(self, base: str, fields: Mapping[str, str]) -> None:
        """Remember fields for this message; they are written when the file is next replaced."""
        self._learned.setdefault(base, {}).update(fields)

    @property
    def has_learned(self) -> bool:
        """True if there are fields that are not in the file."""
        return any(base in self.uid_of for base in self._learned)

    def assign(self, lock: DotLock, bases: Sequence[str]) -> None:
        """Give each of these messages a new UID, in this order, durably.

        Call `read` first, under the same lock. A message that has a UID loses it. OSError or
        LockLost; then nothing has changed.
        """
        if not self.exists or self.next_uid + len(bases) > MAX_UID:
            self._begin_anew(lock, bases)
            return
        given = {base: self.next_uid + index for index, base in enumerate(bases)}
        if self._damaged:
            kept = {base: uid for base, uid in self.uid_of.items() if base not in given}
            self._write(lock, {**kept, **given}, self.next_uid + len(given))
        elif given:
            self._append(lock, os.fsencode("".join(f"{u} :{base}\n" for base, u in given.items())))

    def rewrite(self, lock: DotLock, without: Collection[str] = ()) -> None:
        """Replace the file, leaving out these messages. Call `read` first, under the same lock.

        OSError or LockLost, and the old file is as it was.
        """
        kept = {base: uid for base, uid in self.uid_of.items() if base not in without}
        self._write(lock, kept, self.next_uid)

    def _begin_anew(self, lock: DotLock, bases: Sequence[str]) -> None:
        above = max(self._validity_before, self.validity)
        validity = next_uidvalidity(self._account, self._now(), above)
        # UIDs that ran out begin again for all messages.
        every = dict.fromkeys([*self.uid_of, *bases])
        given = {base: uid for uid, base in enumerate(every, 1)}
        self._write(lock, given, len(given) + 1, validity)

    def _append(self, lock: DotLock, octets: bytes) -> None:
        file = open_file(self._path, os.O_RDWR | os.O_APPEND)
        try:
            before = os.fstat(file)
            if _state(before) != self._state:
                raise OSError(f"{self._path} was changed without its lock")
            lock.confirm()
            try:
                write_all(file, octets)
                os.fdatasync(file)
            except OSError:
                os.ftruncate(file, before.st_size)
                raise
            state = _state(os.fstat(file))
        finally:
            os.close(file)
        self._take(octets)
        self._state = state

    def _write(
        self, lock: DotLock, uid_of: dict[str, int], next_uid: int, validity: int = 0
    ) -> None:
        guid, others = self.guid or secrets.token_hex(16), self._other_header
        words = ["3", f"V{validity or self.validity}", f"N{next_uid}", f"G{guid}", *others]
        fields = {base: said for base in uid_of if (said := self._all_fields(base))}
        lines = [
            f"{uid} {fields[base]} :{base}\n" if base in fields else f"{uid} :{base}\n"
            for base, uid in uid_of.items()
        ]
        begin, records = os.fsencode(" ".join(words) + "\n"), os.fsencode("".join(lines))
        stat = replace(self._maildir, NAME, begin + records, lock)
        self._forget()
        self._take_header(begin)
        self.uid_of, self._fields, self._last = uid_of, fields, max(uid_of.values(), default=0)
        self._end, self._tail = len(begin) + len(records), os.fsencode(lines[-1] if lines else "")
        self._state = _state(stat)
        self._learned = {base: new for base, new in self._learned.items() if base not in uid_of}

    def _all_fields(self, base: str) -> str:
        said, learned = self._fields.get(base, ""), self._learned.get(base)
        if not learned:
            return said
        kept = [word for word in said.split() if word[0] not in learned]
        return " ".join(kept + [f"{key}{value}" for key, value in learned.items()])


def _number(digits: str) -> int:
    """A number from 1 to MAX_UID; 0 for anything else."""
    if not (0 < len(digits) <= 10 and digits.isascii() and digits.isdecimal()):
        return 0
    value = int(digits)
    return value if value <= MAX_UID else 0


def _state(stat: os.stat_result) -> tuple[int, ...]:
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns

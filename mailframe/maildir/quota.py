"""Maildir++ quotas: the file `maildirsize` adds up what a Maildir and its folders hold.

Its first line is the quota ("1073741824S,10000C"). Every other line is a number of octets and of
messages that were added or, with a minus sign, removed.
https://www.courier-mta.org/imap/README.maildirquota.html
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass

from ..setting import parse_size
from .mailbox import Maildir

MAX_FILE = 5120  # octets; a longer maildirsize is written again
MAX_AGE = 900.0  # seconds during which "over quota" is believed without counting again

_TERM = re.compile(r"(\d{1,18})([SC])")


class OverQuota(Exception):
    """The message does not fit into the mailbox's quota."""


@dataclass(frozen=True, slots=True)
class Quota:
    """The octets and the messages that a mailbox may hold; 0 means no limit."""

    octets: int = 0
    messages: int = 0

    @classmethod
    def parse(cls, text: str) -> Quota | None:
        """The quota in the first line of a maildirsize; None if it cannot be read."""
        terms = text.strip().split(",")
        found = [match for match in map(_TERM.fullmatch, terms) if match]
        if len(found) != len(terms):
            return None
        values = {match.group(2): int(match.group(1)) for match in found}
        return cls(values.get("S", 0), values.get("C", 0))

    def __str__(self) -> str:
        terms = [f"{self.octets}S"] if self.octets else []
        terms += [f"{self.messages}C"] if self.messages else []
        return ",".join(terms) or "0S"

    def allows(self, octets: int, messages: int) -> bool:
        """True if a mailbox may hold that much."""
        too_big = 0 < self.octets < octets
        return not too_big and not 0 < self.messages < messages


def parse_quota(text: str) -> Quota:
    """ "2G", or "2G, 10000" with a number of messages, as in the file of single quotas.

    ValueError.
    """
    octets, comma, messages = map(str.strip, text.partition(","))
    if comma and not messages.isdecimal():
        raise ValueError(f"{messages!r} is no number of messages")
    return Quota(parse_size(octets), int(messages) if comma else 0)


@dataclass(frozen=True, slots=True)
class Usage:
    """The sums in a maildirsize, and what shows whether they can be trusted."""

    quota: Quota | None
    octets: int
    messages: int
    lines: int
    modified: float  # seconds since the epoch

    def may_be_wrong(self, now: float) -> bool:
        """True if the messages must be counted before this may mean "over quota".

        The specification asks for that if there is more than one line, or if the file is old.
        """
        return self.lines > 1 or now - self.modified > MAX_AGE


def read(maildir: Maildir) -> Usage | None:
    """The sums in maildirsize; None if there is none, or if it must be written again. OSError."""
    try:
        with open(maildir.path / "maildirsize", "rb") as file:
            content = file.read(MAX_FILE + 1)
            modified = os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return None
    if len(content) > MAX_FILE:
        return None
    first, *rest = content.decode("ascii", "replace").splitlines() or [""]
    octets = messages = 0
    try:
        for line in rest:
            size, count = line.split()
            octets, messages = octets + int(size), messages + int(count)
    except ValueError:
        return None  # cut off, or not as the rules want it: count again
    return Usage(Quota.parse(first), octets, messages, len(rest), modified)


def count(maildir: Maildir) -> tuple[int, int]:
    """Octets and messages in all folders but Trash, without those that are flagged as trashed."""
    octets = messages = 0
    for name in ("", *(n for n in maildir.folders() if n != "Trash")):
        folder = maildir.folder(name)
        for message in folder.messages():
            # Readers move and remove messages while we count.
            with contextlib.suppress(FileNotFoundError):
                if "T" not in message.name.flags:
                    octets, messages = octets + folder.size(message), messages + 1
    return octets, messages


def recount(maildir: Maildir, quota: Quota, unique: str, now: float) -> Usage:
    """Count, and write maildirsize again. `unique` is a name that is free in tmp. OSError."""
    octets, messages = count(maildir)
    draft = maildir.path / "tmp" / unique
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        file = os.open(draft, flags, 0o600)
        try:
            if maildir.owner.chosen:
                os.fchown(file, maildir.owner.uid, maildir.owner.gid)
            os.write(file, f"{quota}\n{octets} {messages}\n".encode())
        finally:
            os.close(file)
        os.rename(draft, maildir.path / "maildirsize")
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    return Usage(quota, octets, messages, 1, now)


def add(maildir: Maildir, octets: int, messages: int) -> None:
    """Note that so much was added (or removed), if this Maildir has a maildirsize. OSError."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        file = os.open(maildir.path / "maildirsize", flags)
    except FileNotFoundError:
        return
    try:
        os.write(file, f"{octets} {messages}\n".encode())
    finally:
        os.close(file)


def is_kept(maildir: Maildir, quota: Quota | None) -> bool:
    """True if this Maildir has a quota."""
    return quota is not None or os.path.exists(maildir.path / "maildirsize")


def is_full(maildir: Maildir, quota: Quota | None, octets: int, unique: str, now: float) -> bool:
    """True if a message of so many octets has no room; `quota` and `unique` as for `reserve`.

    False if the mailbox was not counted yet. OSError if maildirsize cannot be read or written.
    """
    usage = read(maildir)
    if usage is None or usage.quota is None or usage.quota != (quota or usage.quota):
        return False
    quota = usage.quota
    if not quota.allows(usage.octets + octets, usage.messages + 1) and usage.may_be_wrong(now):
        usage = recount(maildir, quota, unique, now)
    return not quota.allows(usage.octets + octets, usage.messages + 1)


def reserve(maildir: Maildir, quota: Quota | None, octets: int, unique: str, now: float) -> None:
    """Reserve space for a message of so many octets; `add` with negative numbers gives it back.

    If `quota` is None, it is the one in maildirsize, if there is one. OverQuota if there is not
    enough space, OSError if maildirsize cannot be written.
    """
    usage = read(maildir)
    if quota is None:
        if usage is None or usage.quota is None:
            return
        quota = usage.quota
    if usage is None or usage.quota != quota:
        usage = recount(maildir, quota, unique, now)
    if not quota.allows(usage.octets + octets, usage.messages + 1) and usage.may_be_wrong(now):
        usage = recount(maildir, quota, unique, now)
    if not quota.allows(usage.octets + octets, usage.messages + 1):
        raise OverQuota(str(quota))
    add(maildir, octets, 1)

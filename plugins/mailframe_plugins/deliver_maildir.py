"""[deliver.maildir] plugin = "maildir", path = "/var/mail/{domain}/{user}/Maildir"

Into a Maildir for each mailbox, durably: written to tmp, synced, moved to new, synced. What
is delivered at the same time shares threads and syncs.
"""

from __future__ import annotations

import errno
import grp
import pwd
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mailframe.complaints import Complaints
from mailframe.domains import to_ascii
from mailframe.final_delivery import LineEnds, delivered_to, final_header, has_been_at
from mailframe.interfaces import IBatchingAgent, IDeliveryAgent
from mailframe.maildir import (
    Copy,
    Maildir,
    OverQuota,
    Owner,
    Quota,
    Template,
    UniqueNames,
    deliver,
    safe_name,
)
from mailframe.message import Message, Outcome, Recipient, Route, Status
from mailframe.plugin import Plugin, SettingError, Site, Size, setting
from mailframe.smtp.address import Mailbox
from mailframe.smtp.reply import MAIL_LOOP, STORAGE_FULL, Reply

MAX_REMEMBERED = 10_000  # mailboxes
CLEAN_EVERY = 86400.0  # seconds

STORED = Reply(250, "Delivered to the mailbox", "2.0.0")
OVER_QUOTA = Reply(552, "The mailbox is full", "5.2.2")
OVER_QUOTA_YET = Reply(452, "The mailbox is full, try again later", "4.2.2")
BEEN_HERE = Reply(MAIL_LOOP.code, "Mail loop detected: delivered here before", MAIL_LOOP.status)
UNAVAILABLE = Reply(451, "The mailbox cannot be used now, try again later", "4.2.0")
MISCONFIGURED = Reply(451, "The mailbox cannot be used now, try again later", "4.3.5")

_BY_ERROR = {
    errno.ENOSPC: STORAGE_FULL,
    errno.EDQUOT: OVER_QUOTA_YET,
    errno.EACCES: MISCONFIGURED,
    errno.EPERM: MISCONFIGURED,
    errno.ELOOP: MISCONFIGURED,
    errno.ENOTDIR: MISCONFIGURED,
}
_OF_THE_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


@dataclass(frozen=True)
class Settings:
    """What can be set."""

    path: Path = setting("where each mailbox's Maildir is, with {user} and {domain} in it")
    create: bool = setting("create the Maildir of a mailbox that has none", True)
    quota: Size | None = setting(
        "octets that a mailbox may hold; by default what its maildirsize says", None
    )
    quota_messages: int | None = setting("messages that a mailbox may hold", None)
    over_quota: Literal["fail", "defer"] = setting(
        "mail for a full mailbox bounces (552 5.2.2), or waits", "fail"
    )
    line_ends: LineEnds = setting("the line ends in the files", "lf")
    tag_folders: bool = setting(
        "user+tag goes to the folder .tag where there is one; whoever writes chooses it", False
    )
    original_to: bool = setting("write X-Original-To, the address before aliases", False)
    owner: str | None = setting("the user (name or number) who owns the files", None)
    group: str | None = setting("the group (name or number) of the files", None)
    threads: int = setting(
        "threads used at once; a second one only for what one cannot take in one go", 2
    )
    batch: int = setting("messages that one thread delivers in one go", 50)
    syncfs_from: int = setting(
        "from so many messages in one go on, sync the file system as a whole; 0: never", 8
    )


@dataclass(eq=False)
class _Parcel:
    """One call of deliver, waiting for a thread."""

    message: Message
    routes: Sequence[Route]
    done: Deferred[Iterable[Outcome]] = field(init=False)


@implementer(IBatchingAgent)
class Maildirs:
    """Delivers into Maildirs; see the settings."""

    _log = Logger()

    at_once = 1000  # what comes together shares threads and syncs; the window is the bound

    def __init__(self, settings: Settings, site: Site) -> None:
        self._settings = settings
        self._in_thread = site.in_thread
        self._complaints = Complaints(self._log, site.reactor.seconds)
        self._names = UniqueNames(site.hostname, site.now)
        self._owner = Owner(
            _number("owner", settings.owner, lambda name: pwd.getpwnam(name).pw_uid),
            _number("group", settings.group, lambda name: grp.getgrnam(name).gr_gid),
        )
        try:
            self._template = Template(str(site.folder / settings.path))
        except ValueError as wrong:
            raise SettingError("path", str(wrong)) from wrong
        for key in ("threads", "batch"):
            if getattr(settings, key) < 1:
                raise SettingError(key, "at least 1 is wanted")
        self._quota = None
        if settings.quota or settings.quota_messages:
            self._quota = Quota(settings.quota or 0, settings.quota_messages or 0)
        self._maildir = lru_cache(MAX_REMEMBERED)(self._located)
        self._waiting: deque[_Parcel] = deque()
        self._running = 0
        self._cleaned: dict[Path, float] = {}

    def deliver(self, message: Message, routes: Sequence[Route]) -> Deferred[Iterable[Outcome]]:
        """Into the Maildir of each route's mailbox. Cancelling forgets what has not begun."""
        parcel = _Parcel(message, routes)
        parcel.done = Deferred(lambda _: self._forget(parcel))
        self._waiting.append(parcel)
        self._start()
        return parcel.done

    def _forget(self, parcel: _Parcel) -> None:
        if parcel in self._waiting:
            self._waiting.remove(parcel)

    def _start(self) -> None:
        """Give what waits to threads, as much as one goes for in each.

        A second thread is for what one cannot take: the more go together, the fewer syncs.
        """
        batch, threads = self._settings.batch, self._settings.threads
        while self._waiting and self._running < threads:
            if self._running and len(self._waiting) < batch:
                break
            parcels = [self._waiting.popleft()]
            room = batch - len(parcels[0].routes)
            while self._waiting and len(self._waiting[0].routes) <= room:
                parcels.append(self._waiting.popleft())
                room -= len(parcels[-1].routes)
            self._running += 1
            self._in_thread(self._work, parcels).addBoth(self._finished, parcels)

    def _finished(self, results: Any, parcels: list[_Parcel]) -> None:
        self._running -= 1
        self._start()
        for at, parcel in enumerate(parcels):
            if not parcel.done.called:
                parcel.done.callback(results if isinstance(results, Failure) else results[at])

    def _work(self, parcels: list[_Parcel]) -> list[Any]:
        """In a thread: for each parcel its outcomes, or a Failure."""
        results: list[Any] = []
        copies: list[Copy] = []
        for parcel in parcels:
            try:
                decided = self._prepare(parcel)
            # One message's fault must not touch the others: its own Deferred carries it.
            except Exception:  # noqa: BLE001
                results.append(Failure())  # type: ignore[no-untyped-call]
                continue
            results.append(decided)
            copies += [item for item in decided if isinstance(item, Copy)]
        errors = iter(
            deliver(copies, self._names, self._settings.line_ends, self._settings.syncfs_from)
        )
        for at, parcel in enumerate(parcels):
            if not isinstance(results[at], Failure):
                results[at] = tuple(
                    self._outcome(parcel.message, route, item, next(errors))
                    if isinstance(item, Copy)
                    else item
                    for route, item in zip(parcel.routes, results[at], strict=True)
                )
        self._clean(copies)
        return results

    def _prepare(self, parcel: _Parcel) -> list[Copy | Outcome]:
        """A copy for each route, or the outcome where there is nothing to write."""
        try:
            seen = delivered_to(parcel.message.content)
        except OSError as failed:
            self._complain(parcel.message, failed)
            reply = _BY_ERROR.get(failed.errno or 0, UNAVAILABLE)
            return [Outcome(_recipient(r), Status.DEFERRED, reply) for r in parcel.routes]
        decided: list[Copy | Outcome] = []
        for route in parcel.routes:
            recipient = _recipient(route)
            if has_been_at(recipient, seen):
                decided.append(Outcome(recipient, Status.FAILED, BEEN_HERE))
            else:
                decided.append(self._copy(parcel.message, route, recipient))
        return decided

    def _copy(self, message: Message, route: Route, recipient: Recipient) -> Copy:
        mailbox = route.mailbox or recipient.address
        account = self.maildir(mailbox)
        folder = _tagged(account, route.tag) if self._settings.tag_folders else account
        head = final_header(message, recipient, self._settings.original_to)
        return Copy(folder, head, message.content, account, self._quota, self._settings.create)

    def maildir(self, mailbox: Mailbox) -> Maildir:
        """The Maildir of this mailbox."""
        return self._maildir(mailbox)

    def _located(self, mailbox: Mailbox) -> Maildir:
        try:
            domain = to_ascii(mailbox.domain)
        except ValueError:
            domain = mailbox.domain
        path = self._template.path(mailbox.local, domain)
        return Maildir(path, self._template.prefix, self._owner)

    def _outcome(
        self, message: Message, route: Route, copy: Copy, failed: Exception | None
    ) -> Outcome:
        recipient = _recipient(route)
        if failed is None:
            return Outcome(recipient, Status.DELIVERED, STORED)
        if isinstance(failed, OverQuota):
            if self._settings.over_quota == "fail":
                return Outcome(recipient, Status.FAILED, OVER_QUOTA)
            return Outcome(recipient, Status.DEFERRED, OVER_QUOTA_YET)
        self._complain(message, failed, copy.folder.path)
        number = failed.errno if isinstance(failed, OSError) else None
        return Outcome(recipient, Status.DEFERRED, _BY_ERROR.get(number or 0, UNAVAILABLE))

    def _complain(self, message: Message, failed: Exception, path: Path | str = "content") -> None:
        number = failed.errno if isinstance(failed, OSError) else None
        self._complaints.error(
            "{id}: {path}: {problem}",
            kind=(number, "" if number in _OF_THE_DISK else str(path)),
            id=message.id,
            path=str(path),
            problem=str(failed),
        )

    def _clean(self, copies: Sequence[Copy]) -> None:
        """Now and then, remove what a crash left in tmp of the Maildirs just visited."""
        now = self._names.now()
        for folder in {copy.folder for copy in copies}:
            if now - self._cleaned.get(folder.path, 0.0) < CLEAN_EVERY:
                continue
            if len(self._cleaned) >= MAX_REMEMBERED:
                self._cleaned.clear()
            self._cleaned[folder.path] = now
            try:
                folder.clean(now)
            except OSError as failed:
                self._log.warn("{path}: tmp: {problem}", path=str(folder.path), problem=str(failed))


def _tagged(account: Maildir, tag: str) -> Maildir:
    """The folder for this tag where there is one, else the inbox."""
    try:
        folder = account.folder(safe_name(tag) if tag else "")
    except ValueError:  # "a..b" is no folder's name
        return account
    return folder if folder.exists() else account


def _recipient(route: Route) -> Recipient:
    if route.recipient is None:
        raise ValueError("a route without its recipient")
    return route.recipient


def _number(key: str, name: str | None, look_up: Callable[[str], int]) -> int:
    """The user's or group's number, -1 where none is set."""
    if name is None:
        return -1
    if name.isdigit():
        return int(name)
    try:
        return look_up(name)
    except KeyError:
        raise SettingError(key, f"there is no {name!r} on this machine") from None


plugin = Plugin("maildir", IDeliveryAgent, Settings, Maildirs)

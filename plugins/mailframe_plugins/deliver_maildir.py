"""[deliver.maildir] plugin = "maildir"

Delivers into the Maildir of each mailbox, durably: written to tmp, synced, moved to new, synced.
`[mailboxes]` says where the Maildirs are, who owns them and how much they may hold. A separate
process delivers small messages, threads deliver larger ones. Messages that come together share
syncs.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorProcess
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mailframe.final_delivery import LineEnds, as_text
from mailframe.interfaces import IBatchingAgent, IDeliveryAgent, IForeseeingAgent
from mailframe.maildir import Maildir, NoSuchOwner, OverQuota, Quota
from mailframe.maildir.delivery.deliverer import (
    Addressee,
    BeenHere,
    Deliverer,
    Results,
    Rules,
    Task,
)
from mailframe.maildir.delivery.process import DeliveryProcess, ProcessLost
from mailframe.maildir.delivery.rounds import Rounds
from mailframe.maildir.mailboxes import Mailboxes
from mailframe.message import Envelope, Message, Outcome, Recipient, Route, Status
from mailframe.plugin import Plugin, SettingError, Site, Size, setting
from mailframe.repeated import RepeatedLog
from mailframe.settings import MailboxSettings
from mailframe.smtp.address import Mailbox
from mailframe.smtp.reply import BEEN_HERE, STORAGE_FULL, Reply

MAX_REMEMBERED = 10_000  # mailboxes
HAS_ROOM = 10.0  # seconds for which a mailbox that had room at RCPT is not checked again
SMALL = 1 << 16  # octets; up to this size a message is given to the other process

STORED = Reply(250, "Delivered to the mailbox", "2.0.0")
OVER_QUOTA = Reply(552, "The mailbox is full", "5.2.2")
OVER_QUOTA_YET = Reply(452, "The mailbox is full, try again later", "4.2.2")
UNAVAILABLE = Reply(451, "The mailbox cannot be used now, try again later", "4.2.0")
INTERRUPTED = Reply(451, "The delivery was interrupted, try again later", "4.3.0")
MISCONFIGURED = Reply(451, "The mailbox cannot be used now, try again later", "4.3.5")

_BY_ERROR = {
    errno.ENOSPC: STORAGE_FULL,
    errno.EDQUOT: OVER_QUOTA_YET,
    errno.EACCES: MISCONFIGURED,
    errno.EPERM: MISCONFIGURED,
    errno.ELOOP: MISCONFIGURED,
    errno.ENOTDIR: MISCONFIGURED,
}
_OF_MAILBOXES = ("path", "owner", "group", "quota", "quota_messages")
_OF_THE_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


@dataclass(frozen=True)
class Settings:
    """The settings."""

    path: Path | None = setting(
        "where each mailbox's Maildir is, with {user} and {domain} in it; by default as "
        "[mailboxes] says",
        None,
    )
    separate: bool = setting(
        "path, owner and quota are not those of [mailboxes], as for an archive", False
    )
    create: bool = setting("create a mailbox's Maildir if there is none", True)
    quota: Size | None = setting(
        "octets that a mailbox may hold; by default as [mailboxes] or its file maildirsize says",
        None,
    )
    quota_messages: int | None = setting(
        "messages that a mailbox may hold; by default likewise", None
    )
    over_quota: Literal["fail", "defer"] = setting(
        "what happens to mail for a full mailbox: fail: it bounces (552 5.2.2); defer: it waits",
        "fail",
    )
    line_ends: LineEnds = setting("the line ends in the files", "lf")
    tag_folders: bool = setting(
        "deliver mail for user+tag into the folder .tag, if there is one; so senders choose the "
        "folder",
        False,
    )
    original_to: bool = setting(
        "add X-Original-To, the address that the client gave, before aliases", False
    )
    owner: str | None = setting(
        "the user (name or number) who owns the files; by default as [mailboxes] says", None
    )
    group: str | None = setting(
        "the group (name or number) of the files; by default likewise", None
    )
    process: bool = setting(
        "deliver messages of up to 64 KB in a separate process, which keeps the host's process "
        "free",
        True,
    )
    threads: int = setting(
        "threads that deliver larger messages; a second one is used only if `batch` of them wait",
        2,
    )
    batch: int = setting("the most messages that are delivered together", 50)
    syncfs_from: int = setting(
        "if so many messages or more are delivered together, sync the whole file system; 0: never",
        8,
    )


@implementer(IBatchingAgent, IForeseeingAgent)
class Maildirs(Service):
    """Delivers into Maildirs; see the settings."""

    _log = Logger()

    at_once = 1000  # calls that come together share syncs; the queue's window is the limit

    def __init__(self, settings: Settings, site: Site) -> None:
        self._settings = settings
        self._in_thread = site.in_thread
        self._repeated = RepeatedLog(self._log, site.reactor.seconds)
        self._mailboxes = _mailboxes(settings, site)
        site.will_write("path", self._mailboxes.root)
        for key in ("threads", "batch"):
            if getattr(settings, key) < 1:
                raise SettingError(key, "at least 1 is wanted")
        rules = _rules(settings, site, self._mailboxes)
        self._deliverer = Deliverer(rules, site.now, self._complain_of_tmp)
        self._process = None
        if settings.process and IReactorProcess.providedBy(site.reactor):
            self._process = DeliveryProcess(site.reactor, rules, site.name or "deliver.maildir")
        self._small = Rounds(
            self._carry_small, 1, settings.batch, partial(site.reactor.callLater, 0)
        )
        self._others = Rounds(self._carry, settings.threads, settings.batch)
        self._place = lru_cache(MAX_REMEMBERED)(self._located)
        self._now = site.now
        self._full: set[str] = set()  # mailboxes that were full, perhaps only by maildirsize
        self._with_room: dict[str, float] = {}  # mailboxes that had room, and until when it counts

    def stopService(self) -> Deferred[None]:
        """Called by Twisted: finish what is under way, then let the process end."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await self._small.idle()
        await self._others.idle()
        if self._process is not None:
            await self._process.stop()

    def deliver(self, message: Message, routes: Sequence[Route]) -> Deferred[Iterable[Outcome]]:
        """Deliver into the Maildir of each route's mailbox. Cancelling drops what has not begun."""
        if message.envelope.body == "BINARYMIME":
            text = self._in_thread(as_text, message, self._settings.line_ends)
            written: Deferred[Iterable[Outcome]] = text.addCallback(
                lambda found: self._deliver(replace(message, content=found[0]), routes, found[1])
            )
            return written
        return self._deliver(message, routes, self._settings.line_ends)

    def _deliver(
        self, message: Message, routes: Sequence[Route], line_ends: LineEnds
    ) -> Deferred[Iterable[Outcome]]:
        content = message.content
        own = None if line_ends == self._settings.line_ends else line_ends
        # An agent that is not started will not be stopped, and would leave a process behind.
        small = self._process is not None and self.running and content.size <= SMALL and not own
        rounds = self._small if small and isinstance(content.body, bytes) else self._others
        # Recipients whose tags make no difference share a copy.
        copies: dict[tuple[str, str], Addressee] = {}
        wanted = [self._addressee(message.envelope, route) for route in routes]
        for to in wanted:
            copies.setdefault((to.account, to.tag), to)
        task = Task(content, list(copies.values()), own)
        done: Deferred[Any] = rounds.add(task)
        return done.addCallback(self._outcomes, message, routes, wanted, list(copies))

    def refusal(self, envelope: Envelope, route: Route) -> Deferred[Reply | None] | None:
        """A refusal if the mailbox is full, or has no room for the declared size.

        Nothing is read for a mailbox that has no quota in the settings and was not full before.
        """
        to = self._addressee(envelope, route)
        account = to.account
        bounded = to.quota is not None or self._mailboxes.quota_of_all is not None
        if account not in self._full and (
            not bounded or self._with_room.get(account, 0.0) > self._now()
        ):
            return None
        full = self._in_thread(self._deliverer.is_full, to, envelope.size or 0)
        return full.addCallback(self._foreseen, account)

    def _foreseen(self, full: bool, account: str) -> Reply | None:
        for known in (self._full, self._with_room):
            if len(known) >= MAX_REMEMBERED:
                known.clear()
        if full:
            self._full.add(account)
            return OVER_QUOTA if self._settings.over_quota == "fail" else OVER_QUOTA_YET
        self._full.discard(account)
        self._with_room[account] = self._now() + HAS_ROOM
        return None

    def _carry(self, tasks: list[Task]) -> Deferred[list[Results]]:
        return self._in_thread(self._deliverer.deliver, tasks)

    def _carry_small(self, tasks: list[Task]) -> Deferred[list[Results]]:
        if self._process is None or not self._process.is_there():
            return self._carry(tasks)
        return self._process.deliver(tasks).addErrback(_lost, tasks)

    def _addressee(self, envelope: Envelope, route: Route) -> Addressee:
        recipient = _recipient(route)
        address, sender = recipient.address, recipient.sender or envelope.sender
        mailbox = route.mailbox or address
        quota = self._mailboxes.own_quota(mailbox)
        return Addressee(
            self._place(mailbox),
            route.tag if self._settings.tag_folders else "",
            "" if sender is None else str(sender),
            str(address),
            str(recipient.original) if self._settings.original_to else "",
            self._mailboxes.owners.own(mailbox),
            None if quota is None else (quota.octets, quota.messages),
        )

    def maildir(self, mailbox: Mailbox) -> Maildir:
        """The Maildir of this mailbox. May block. NoSuchOwner, OSError."""
        return self._mailboxes.maildir(mailbox)

    def _located(self, mailbox: Mailbox) -> str:
        return str(self._mailboxes.path(mailbox))

    def _outcomes(
        self,
        results: Results,
        message: Message,
        routes: Sequence[Route],
        wanted: Sequence[Addressee],
        copies: Sequence[tuple[str, str]],
    ) -> list[Outcome]:
        by_copy = dict(zip(copies, results, strict=True))
        return [
            Outcome(_recipient(route), Status.DELIVERED, STORED)
            if (failed := by_copy[to.account, to.tag]) is None
            else self._not_delivered(message, route, to.account, failed)
            for route, to in zip(routes, wanted, strict=True)
        ]

    def _not_delivered(
        self, message: Message, route: Route, path: str, failed: Exception
    ) -> Outcome:
        recipient = _recipient(route)
        if isinstance(failed, BeenHere):
            return Outcome(recipient, Status.FAILED, BEEN_HERE)
        if isinstance(failed, OverQuota):
            self._full.add(path)
            self._with_room.pop(path, None)
            if self._settings.over_quota == "fail":
                return Outcome(recipient, Status.FAILED, OVER_QUOTA)
            return Outcome(recipient, Status.DEFERRED, OVER_QUOTA_YET)
        number = failed.errno if isinstance(failed, OSError) else None
        self._repeated.error(
            "{id}: {path}: {problem}",
            kind=(number, "" if number in _OF_THE_DISK else path),
            id=message.id,
            path=path,
            problem=str(failed),
        )
        if isinstance(failed, ProcessLost):
            return Outcome(recipient, Status.DEFERRED, INTERRUPTED)
        if isinstance(failed, NoSuchOwner):
            return Outcome(recipient, Status.DEFERRED, MISCONFIGURED)
        return Outcome(recipient, Status.DEFERRED, _BY_ERROR.get(number or 0, UNAVAILABLE))

    def _complain_of_tmp(self, path: Path, problem: OSError) -> None:
        self._log.warn("{path}: tmp: {problem}", path=str(path), problem=str(problem))


def _lost(failure: Failure, tasks: list[Task]) -> list[Results]:
    """The process died: everything that it had to deliver is tried again."""
    lost = failure.value
    if not isinstance(lost, ProcessLost):
        failure.raiseException()
    return [[lost] * len(task.addressees) for task in tasks]


def _mailboxes(settings: Settings, site: Site) -> Mailboxes:
    """The host's mailboxes, or those of this section's own keys.

    SettingError if the two contradict.
    """
    said = {key: value for key in _OF_MAILBOXES if (value := getattr(settings, key)) is not None}
    common = None if settings.separate else site.mailboxes
    if common is None:
        if settings.path is None:
            instead = "" if settings.separate else "; or say it in [mailboxes]"
            raise SettingError("path", f"missing: where each mailbox's Maildir is{instead}")
        own = MailboxSettings(**said)
    else:
        for key, value in said.items():
            shared = getattr(common.settings, key)
            if shared is not None and shared != value:
                raise SettingError(key, f"contradicts {key} in [mailboxes]: say it only there")
            site.warn(key, "say it once, in [mailboxes], so that all who ask know it")
        own = replace(common.settings, **said)
        if own == common.settings:
            return common
    mailboxes = Mailboxes.read(own, site.folder, site.now)
    for key, trap in mailboxes.traps(site.may_give):
        if key in said and not (settings.separate and key == "path"):
            site.warn(key, trap)
    return mailboxes


def _rules(settings: Settings, site: Site, mailboxes: Mailboxes) -> Rules:
    owners, quota = mailboxes.owners, mailboxes.quota_of_all or Quota()
    return Rules(
        hostname=site.hostname,
        root=str(mailboxes.root),
        uid=owners.everyone.uid,
        gid=owners.everyone.gid,
        from_folder=owners.from_folder,
        octets=quota.octets,
        messages=quota.messages,
        create=settings.create,
        line_ends=settings.line_ends,
        syncfs_from=settings.syncfs_from,
    )


def _recipient(route: Route) -> Recipient:
    if route.recipient is None:
        raise ValueError("a route without its recipient")
    return route.recipient


plugin = Plugin("maildir", IDeliveryAgent, Settings, Maildirs)

"""[[route]] plugin = "mailboxes", domains = ["example.org"], file = "mailboxes"

The mailboxes of this host's domains; all other addresses there are refused. `file` lists them, one
in a line: `user` for all the domains or `user@example.org` for one. Text after a colon is ignored,
so a file of passwords can be used too. Without `file`, a mailbox exists if its Maildir exists;
`[mailboxes]` says where that is. `user+tag` is delivered to user.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from twisted.internet.defer import Deferred
from zope.interface import implementer

from mailframe.files.watched import LineError, significant_lines
from mailframe.files.watched_list import WatchedList, watch_list
from mailframe.interfaces import IListedMailboxes, IRouter
from mailframe.maildir.mailboxes import USUAL_PATH, Mailboxes
from mailframe.message import Envelope, Recipient, Redirect, Route
from mailframe.names.domain_set import domains_setting, one_spelling
from mailframe.names.local_parts import folded, parse_user
from mailframe.plugin import Plugin, SettingError, Site, setting
from mailframe.settings import MailboxSettings
from mailframe.smtp.address import AddressError, Mailbox
from mailframe.smtp.reply import NO_SUCH_MAILBOX, Reply

UNAVAILABLE = Reply(451, "Mailboxes cannot be looked up now, try again later", "4.3.0")

REMEMBERED = 10.0  # seconds for which a Maildir that was found is believed to exist
MAX_REMEMBERED = 10_000
MAX_MEANINGS = 4096  # addresses of which it is remembered what they may stand for


@dataclass(frozen=True)
class Settings:
    """The settings."""

    domains: tuple[str, ...] = setting(
        'your own domains; ".example.org" stands for all its subdomains'
    )
    file: Path | None = setting(
        "the file of mailboxes; by default those whose Maildirs exist", None
    )
    path: Path | None = setting(
        "if there is no file: where each mailbox's Maildir is, with {user} and {domain} in it; by "
        "default as [mailboxes] says, or /var/mail/{domain}/{user}/Maildir",
        None,
    )
    deliver: str = setting("the [deliver.NAME] that delivers to the mailboxes", "maildir")
    separator: str = setting("the text before a tag; empty: no tags", "+")
    case_sensitive: bool | None = setting(
        "whether Bob and bob are two mailboxes; by default as [mailboxes] says, or false", None
    )
    postmaster: str | None = setting(
        "the user or address that gets the postmaster's mail if there is no such mailbox "
        "(RFC 5321 section 4.5.1 wants somebody to get it)",
        None,
    )
    catch_all: str | None = setting(
        "the user or address that gets mail for unknown mailboxes", None
    )
    unknown: Literal["refuse", "pass"] = setting(
        "refuse: refuse mail for unknown mailboxes; pass: let the next route decide", "refuse"
    )


class Users(Protocol):
    """Knows which mailboxes exist."""

    def find(self, names: list[tuple[str, str]]) -> Any:
        """The index of the first (local, domain) that is a mailbox, None for none; or a Reply.

        It may be a Deferred of that.
        """

    def listed(self) -> Iterable[tuple[str, str]]:
        """Mailboxes (name, domain) that are known from a list; domain "" means all our domains."""


#: Our domain in its one spelling, the readings of the local part, and the names to look for.
Meaning: TypeAlias = tuple[str, list[tuple[str, str]], list[tuple[str, str]]]


@implementer(IListedMailboxes)
class MailboxRouter:
    """Routes to the mailboxes of this host's domains."""

    def __init__(self, settings: Settings, site: Site) -> None:
        self._settings = settings
        self._mailboxes = _mailboxes(settings, site)
        self._domains = domains_setting("domains", settings.domains)
        if not self._domains:
            raise SettingError("domains", "no domain is named")
        self._users: Users
        if settings.file is not None:
            case = self._mailboxes.settings.case_sensitive
            self._users = Listed(site.folder / settings.file, case, site)
        else:
            self._users = Existing(self._mailboxes, site)
        self._postmaster = _target("postmaster", settings.postmaster)
        self._catch_all = _target("catch_all", settings.catch_all)
        # Asked at RCPT and again at the delivery, and what it says of a name does not change.
        self._meaning = lru_cache(MAX_MEANINGS)(self._mean)

    def route(
        self, envelope: Envelope, recipient: Recipient
    ) -> Route | Redirect | Reply | Deferred[Route | Redirect | Reply | None] | None:
        """The mailbox, or a refusal if there is none; None for other domains.

        The bare Postmaster is the one of the first domain.
        """
        address = recipient.address
        meaning = self._meaning(address.local, address.domain)
        if meaning is None:
            return None
        domain, names, sought = meaning
        found = self._users.find(sought) if sought else None
        if type(found) is int:
            return self._mailbox(found, names, domain)
        if isinstance(found, Deferred):
            return found.addCallback(self._decide, names, domain, recipient)
        return self._decide(found, names, domain, recipient)

    def mailboxes(self) -> Iterator[Mailbox]:
        """The mailboxes in the file, in the domains that are named in full."""
        named = [domain for domain in self._domains if domain[0] not in ".["]
        for local, domain in self._users.listed():
            for each in [domain] if domain else named:
                yield Mailbox(local, each)

    def _mean(self, local: str, domain: str) -> Meaning | None:
        """What an address may stand for here; None for other domains."""
        ours = domain or self._domains.first
        if ours is None or ours not in self._domains:
            return None
        ours = one_spelling(ours)
        names = self._readings(local)
        return ours, names, [(name, ours) for name, _ in names]

    def _readings(self, local: str) -> list[tuple[str, str]]:
        """The possible meanings of the local part: the mailbox of that name, or one with a tag."""
        separator, sensitive = self._settings.separator, self._mailboxes.settings.case_sensitive
        readings = [(local, "")]
        if separator and separator in local:
            user, _, tag = local.partition(separator)
            readings.append((user, tag))
        return [(folded(user, sensitive), tag) for user, tag in readings if user]

    def _mailbox(self, found: int, names: list[tuple[str, str]], domain: str) -> Route:
        local, tag = names[found]
        return Route(self._settings.deliver, mailbox=Mailbox(local, domain), tag=tag)

    def _decide(
        self, found: Any, names: list[tuple[str, str]], domain: str, recipient: Recipient
    ) -> Route | Redirect | Reply | None:
        if isinstance(found, Reply):
            return found
        if found is not None:
            return self._mailbox(found, names, domain)
        is_postmaster = any(local.lower() == "postmaster" for local, _ in names)
        for target in (self._postmaster if is_postmaster else None, self._catch_all):
            if target is None:
                continue
            address = target if target.domain else Mailbox(target.local, domain)
            if address != recipient.address:
                return Redirect((address,))
        return None if self._settings.unknown == "pass" else NO_SUCH_MAILBOX


class Listed:
    """Mailboxes listed in a file."""

    def __init__(self, file: Path, case_sensitive: bool, site: Site) -> None:
        site.will_read("file", file)
        self._file: WatchedList[frozenset[tuple[str, str]]] = watch_list(
            "file", file, lambda text: parse(text, case_sensitive), site.now, site.in_thread
        )

    def find(self, names: list[tuple[str, str]]) -> int | Reply | None:
        """The first that the file lists for its domain, or for all.

        While the file is doubted, no mailbox is refused permanently.
        """
        users = self._file.value()
        for at, name in enumerate(names):
            if name in users or (name[0], "") in users:
                return at
        return UNAVAILABLE if self._file.doubted else None

    def listed(self) -> list[tuple[str, str]]:
        """All mailboxes in the file."""
        return sorted(self._file.value())


class Existing:
    """Mailboxes whose Maildirs exist.

    Those found are remembered for some seconds, others are not.
    """

    def __init__(self, mailboxes: Mailboxes, site: Site) -> None:
        if not mailboxes.template.has_user:
            raise SettingError("path", "{user} is wanted in it, so that each has one of his own")
        self._mailboxes = mailboxes
        self._in_thread = site.in_thread
        self._now = site.now
        self._known: dict[tuple[str, str], float] = {}

    def find(self, names: list[tuple[str, str]]) -> int | Deferred[int | Reply | None] | None:
        """The first whose Maildir exists; 451 if even the folder above them all is missing."""
        if self._known.get(names[0], 0.0) > self._now():
            return 0
        return self._in_thread(self._look, names).addCallback(self._remember, names)

    def listed(self) -> tuple[tuple[str, str], ...]:
        """Empty, because listing the folders could be slow."""
        return ()

    def _look(self, names: list[tuple[str, str]]) -> int | Reply | None:
        """Called in a thread. OSError if the file system fails."""
        for at, (local, domain) in enumerate(names):
            exists = self._mailboxes.exists(Mailbox(local, domain))
            if exists:
                return at
            if exists is None:
                return UNAVAILABLE
        return None

    def _remember(
        self, found: int | Reply | None, names: list[tuple[str, str]]
    ) -> int | Reply | None:
        if isinstance(found, int):
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            self._known[names[found]] = self._now() + REMEMBERED
        return found


def _mailboxes(settings: Settings, site: Site) -> Mailboxes:
    """The host's mailboxes, or those of this section's own keys.

    SettingError if the two contradict.
    """
    keys = ("case_sensitive",) if settings.file is not None else ("path", "case_sensitive")
    said = {key: value for key in keys if (value := getattr(settings, key)) is not None}
    if site.mailboxes is None:
        own = MailboxSettings(**{"path": USUAL_PATH, **said})
        return Mailboxes.read(own, site.folder, site.now)
    for key, value in said.items():
        if getattr(site.mailboxes.settings, key) != value:
            raise SettingError(key, f"contradicts {key} in [mailboxes]: say it only there")
        site.warn(key, "say it once, in [mailboxes], so that all who ask know it")
    return site.mailboxes


def parse(text: str, case_sensitive: bool = False) -> frozenset[tuple[str, str]]:
    """Parse the file of mailboxes into (local, domain), with domain "" for all.

    Raises LineError.
    """
    found = set()
    for number, line in significant_lines(text):
        name = re.split(r"\s#", line)[0]
        name = (name if name.startswith('"') else name.partition(":")[0]).strip()
        try:
            user = parse_user(name)
            domain = one_spelling(user.domain) if user.domain else ""
        except ValueError as wrong:
            raise LineError(number, f"{name!r} is no user and no address: {wrong}") from wrong
        found.add((folded(user.local, case_sensitive), domain))
    return frozenset(found)


def _target(key: str, text: str | None) -> Mailbox | None:
    """A user (domain "" for the recipient's own) or an address; None if it is not set."""
    if text is None:
        return None
    try:
        return parse_user(text)
    except AddressError as wrong:
        raise SettingError(key, f"{text!r} is no user and no address: {wrong}") from wrong


plugin = Plugin("mailboxes", IRouter, Settings, MailboxRouter)

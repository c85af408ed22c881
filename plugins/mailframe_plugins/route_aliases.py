"""[[route]] plugin = "aliases", file = "aliases", domains = ["example.org"]

Replaces addresses by others: redirects, lists, catch-alls.

    team: alice, bob@elsewhere.example
    owner-team: alice
    news: :include:news-members
    @old.example: @example.org

`team` is an alias in each of `domains`. If a list has an owner, its copies are sent in the owner's
name, so the owner gets the bounces. A tag goes on to targets in `domains` that have none: with
`me: alice`, mail to me+shop is alice+shop's. If an address is among its own targets, it keeps a
copy, which the next routes deliver; `alice: alice` takes alice out of a catch-all. The file is read
again when it changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zope.interface import implementer

from mailframe.files.aliases import parse_aliases
from mailframe.files.watched_list import watch_list
from mailframe.interfaces import IRouter
from mailframe.message import Envelope, Recipient, Redirect
from mailframe.names.domain_set import domains_setting, one_spelling
from mailframe.names.local_parts import folded
from mailframe.plugin import Plugin, Site, setting
from mailframe.smtp.address import MAX_PATH, Mailbox
from mailframe.smtp.reply import Reply

NO_MEMBERS = Reply(550, "The list has no members", "5.2.4")

_OWNER = "owner-"


@dataclass(frozen=True)
class Settings:
    """The settings."""

    file: Path = setting("the file of aliases: `name: address, address`")
    domains: tuple[str, ...] = setting(
        'the domains of names without @; ".example.org" stands for all its subdomains', ()
    )
    separator: str = setting("the text before a tag; empty: no tags", "+")
    keep_tag: bool = setting(
        "me+shop is alice+shop if `me: alice`; not for lists, members of files, other domains", True
    )


@implementer(IRouter)
class FileAliases:
    """Redirects by a file."""

    def __init__(self, settings: Settings, site: Site) -> None:
        self._domains = domains_setting("domains", settings.domains)
        self._separator = settings.separator if settings.keep_tag else ""
        path = site.folder / settings.file
        site.will_read("file", path)
        self._file = watch_list(
            "file",
            path,
            lambda text: parse_aliases(
                text, path.parent, self._domains, site.now, settings.separator, site.in_thread
            ),
            site.now,
            site.in_thread,
        )

    def route(self, envelope: Envelope, recipient: Recipient) -> Redirect | Reply | None:
        """The addresses that replace it; None if it is not in the file.

        The bare Postmaster is the one of the first domain.
        """
        asked = recipient.address
        if asked in recipient.came_from:
            return None  # the copy that an alias has kept for itself, asked about again
        try:
            domain = one_spelling(asked.domain) if asked.domain else self._domains.first
        except ValueError:
            return None
        found = self._file.value().look(asked.local, domain) if domain else None
        if found is None or domain is None:
            return None
        name, entry = found
        addresses = entry.addresses(name, asked, domain)
        if not addresses:
            return NO_MEMBERS
        if addresses == (asked,):
            return None
        owner = self._owner(name, domain)
        if owner is None and self._separator and self._separator in asked.local and name:
            written = len(entry.targets)
            tagged = tuple(self._tagged(each, name, asked) for each in addresses[:written])
            addresses = (*tagged, *addresses[written:])
        return Redirect(addresses, owner)

    def _tagged(self, target: Mailbox, name: str, asked: Mailbox) -> Mailbox:
        """The target with the tag of the address asked for, if it is ours and has none."""
        head, mark, tag = asked.local.partition(self._separator)
        if folded(head) != name or mark in target.local or target.domain not in self._domains:
            return target
        mailbox = Mailbox(f"{target.local}{mark}{tag}", target.domain)
        return mailbox if len(str(mailbox).encode()) <= MAX_PATH - 2 else target

    def _owner(self, name: str, domain: str) -> Mailbox | None:
        """The reverse-path of a list's copies: owner-NAME, if the file has it."""
        if not name or name.startswith(_OWNER):
            return None
        owner = self._file.value().look(_OWNER + name, domain)
        return Mailbox(_OWNER + name, domain) if owner and owner[0] == _OWNER + name else None


plugin = Plugin("aliases", IRouter, Settings, FileAliases)

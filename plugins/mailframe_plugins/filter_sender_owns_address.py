"""[[filter]] plugin = "sender_owns_address", domains = ["example.org"], file = "owners"

An authenticated user sends only with addresses that belong to that user. The user
`alice@example.org` owns that address; the user `alice` owns alice@ each of `domains`; a +tag is
allowed. `file` gives users more addresses, or whole domains:

    alice: sales@example.org, @shop.example
    robot@example.org: *

With `check_from` the addresses in the From: and Sender: fields must be the user's too. Clients that
have not logged in are not checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mailframe.eventual import Eventual
from mailframe.files.watched import LineError, significant_lines
from mailframe.files.watched_list import watch_list
from mailframe.interfaces import IFilter
from mailframe.message import Content, Envelope, Finding
from mailframe.mime import header
from mailframe.mime.addresses import read as read_addresses
from mailframe.names.domains import to_ascii
from mailframe.plugin import Filter, Plugin, Site, setting
from mailframe.smtp.address import AddressError, Mailbox, parse_domain
from mailframe.smtp.reply import Reply

MAX_HEADER = 1 << 18  # octets of the header section that are looked at
MAX_FIELD = 4096  # octets of a From: field that are read

NOT_YOURS = Reply(553, "This user may not send as this address", "5.7.1")
FROM_NOT_YOURS = Reply(553, "This user may not send with this address in From: or Sender:", "5.7.1")
UNREADABLE = Reply(550, "From: or Sender: is missing, there twice, or unreadable", "5.7.1")


@dataclass(frozen=True)
class Settings:
    """The settings."""

    domains: tuple[str, ...] = setting(
        "domains in which the user `bob` owns the address of bob", ()
    )
    file: Path | None = setting(
        "a file of further addresses of users: `user: address, @domain, *`", None
    )
    tag: str = setting("the text between a user's name and a tag; empty: no tags", "+")
    null_sender: bool = setting("true: users may send with the null sender", True)
    check_from: bool = setting(
        "true: the addresses in From: and Sender: must be the user's too", False
    )


Owned = Mapping[str, frozenset[str]]  # by user: addresses, domains as "@domain", or "*"


class SenderOwnsAddress(Filter):
    """Refuses addresses that do not belong to the authenticated user."""

    def __init__(self, settings: Settings, site: Site) -> None:
        self._settings = settings
        self._in_thread = site.in_thread
        self._domains = frozenset(map(_domain, settings.domains))
        self._file = None
        if settings.file is not None:
            path = site.folder / settings.file
            site.will_read("file", path)
            self._file = watch_list("file", path, parse, site.now, site.in_thread)

    def sender(self, envelope: Envelope) -> Reply | None:
        """Check the reverse-path."""
        user = envelope.client.user
        if user is None:
            return None
        if envelope.sender is None:
            return None if self._settings.null_sender else NOT_YOURS
        return None if self.owns(user, envelope.sender) else NOT_YOURS

    def content(self, envelope: Envelope, content: Content) -> Eventual[Reply | Finding | None]:
        """Check From: and Sender:, if that is set."""
        user = envelope.client.user
        if user is None or not self._settings.check_from:
            return None
        if content.at_hand is not None:
            return self._judge(user, content)
        return self._in_thread(self._judge, user, content)

    def _judge(self, user: str, content: Content) -> Reply | None:
        try:
            authors = addresses(content)
        except ValueError:
            return UNREADABLE
        return None if all(self.owns(user, author) for author in authors) else FROM_NOT_YOURS

    def owns(self, user: str, address: Mailbox) -> bool:
        """True if this address is this user's."""
        if not user:
            return False
        user = user.lower()
        local, domain = address.local.lower(), _domain(address.domain)
        tag = self._settings.tag
        bare = local.partition(tag)[0] if tag else local
        mine = {f"{user}@{each}" for each in self._domains} if "@" not in user else {_same(user)}
        more = self._file.value().get(_same(user), frozenset()) if self._file else frozenset()
        spellings = {f"{local}@{domain}", f"{bare}@{domain}"}
        return bool(spellings & (mine | more)) or not more.isdisjoint({f"@{domain}", "*"})


def parse(text: str) -> Owned:
    """Parse the file of owners. Raises LineError."""
    owned: dict[str, frozenset[str]] = {}
    for number, line in significant_lines(text):
        user, colon, rest = line.partition(":")
        if not colon or not user.strip():
            raise LineError(number, "`user: address, @domain` is wanted")
        try:
            things = frozenset(_owned(thing.strip()) for thing in rest.split(",") if thing.strip())
        except AddressError as wrong:
            raise LineError(number, str(wrong)) from wrong
        user = _same(user.strip().lower())
        owned[user] = owned.get(user, frozenset()) | things
    return owned


def _owned(thing: str) -> str:
    if thing == "*":
        return thing
    if thing.startswith("@"):
        return f"@{_domain(parse_domain(thing[1:]))}"
    mailbox = Mailbox.parse(thing)
    return f"{mailbox.local.lower()}@{_domain(mailbox.domain)}"


def _same(user: str) -> str:
    """A user's name with its domain, if any, in one spelling."""
    local, at, domain = user.rpartition("@")
    return f"{local}@{_domain(domain)}" if at else user


def _domain(domain: str) -> str:
    try:
        return to_ascii(domain)
    except ValueError:
        return domain.lower()


def addresses(content: Content) -> list[Mailbox]:
    """The addresses in the From: and Sender: fields. ValueError if they cannot be told."""
    section = content.header_section(MAX_HEADER)
    if section.done and not section.ended:
        raise ValueError("the header section does not end")
    authors = header.values(section.octets, b"from")
    senders = header.values(section.octets, b"sender")
    if len(authors) != 1 or len(senders) > 1:
        raise ValueError("one From: field and one Sender: field at most (RFC 5322 section 3.6)")
    return [mailbox for value in (*authors, *senders) for mailbox in _mailboxes(value)]


def _mailboxes(value: bytes) -> list[Mailbox]:
    if len(value) > MAX_FIELD:
        raise ValueError("a field is too long")
    found = read_addresses(value)
    if not found.clear or not found.elements:
        raise ValueError("a field names nobody, or not clearly")
    return [Mailbox.parse(address.spec) for address in found.addresses]


plugin = Plugin("sender_owns_address", IFilter, Settings, SenderOwnsAddress)

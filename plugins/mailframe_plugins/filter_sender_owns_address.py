"""[[filter]] plugin = "sender_owns_address", domains = ["example.org"], file = "owners"

An authenticated user sends only with addresses of his own. The user `alice@example.org` owns
that address; the user `alice` owns alice@ each of `domains`; a +tag is allowed. `file` gives
users more, or whole domains:

    alice: sales@example.org, @shop.example
    robot@example.org: *

With `check_from` the addresses in the From: and Sender: fields must be his too. Who is not
authenticated is of no concern here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.errors import InvalidHeaderDefect
from email.headerregistry import HeaderRegistry
from pathlib import Path
from typing import Any

from mailframe.eventual import Eventual
from mailframe.files.watched import LineError, significant_lines, watch_setting
from mailframe.interfaces import IFilter
from mailframe.message import Content, Envelope, Finding
from mailframe.names.domains import to_ascii
from mailframe.plugin import Filter, Plugin, Site, setting
from mailframe.smtp.address import AddressError, Mailbox, parse_domain
from mailframe.smtp.reply import Reply

MAX_HEADER = 1 << 18  # octets of the header section that are looked at
MAX_FIELD = 4096  # characters of a From: field; parsing takes time by their square

NOT_YOURS = Reply(553, "This user may not send as this address", "5.7.1")
FROM_NOT_YOURS = Reply(553, "This user may not send with this address in From: or Sender:", "5.7.1")
UNREADABLE = Reply(550, "From: or Sender: is missing, there twice, or unreadable", "5.7.1")

_END_OF_HEADER = re.compile(rb"\n\r?\n")
_REGISTRY = HeaderRegistry()


@dataclass(frozen=True)
class Settings:
    """What can be set."""

    domains: tuple[str, ...] = setting("domains in which a user's plain name is his address", ())
    file: Path | None = setting("more addresses of users: `user: address, @domain, *`", None)
    tag: str = setting("what separates a tag from a user's name; empty: no tags", "+")
    null_sender: bool = setting("whether users may send with the null sender", True)
    check_from: bool = setting("whether From: and Sender: must be the user's too", False)


Owned = Mapping[str, frozenset[str]]  # by user: addresses, "@domain"s, "*"


class SenderOwnsAddress(Filter):
    """Refuses addresses that are not the authenticated user's."""

    def __init__(self, settings: Settings, site: Site) -> None:
        self._settings = settings
        self._in_thread = site.in_thread
        self._domains = frozenset(map(_domain, settings.domains))
        self._file = None
        if settings.file is not None:
            self._file = watch_setting(
                "file", site.folder / settings.file, parse, site.reactor.seconds
            )

    def sender(self, envelope: Envelope) -> Reply | None:
        """Judges the reverse-path."""
        user = envelope.client.user
        if user is None:
            return None
        if envelope.sender is None:
            return None if self._settings.null_sender else NOT_YOURS
        return None if self.owns(user, envelope.sender) else NOT_YOURS

    def content(self, envelope: Envelope, content: Content) -> Eventual[Reply | Finding | None]:
        """Judges From: and Sender:, where that is wished."""
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
        """Whether this address is this user's."""
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
    """The file of owners. Raises LineError."""
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
    """A user's name with its domain, if any, in the one spelling."""
    local, at, domain = user.rpartition("@")
    return f"{local}@{_domain(domain)}" if at else user


def _domain(domain: str) -> str:
    try:
        return to_ascii(domain)
    except ValueError:
        return domain.lower()


def addresses(content: Content) -> list[Mailbox]:
    """Who the From: and Sender: fields name. ValueError where that cannot be told."""
    found: list[Mailbox] = []
    fields = _fields(_header_section(content))
    if len(fields["From"]) != 1 or len(fields["Sender"]) > 1:
        raise ValueError("one From: field and one Sender: field at most (RFC 5322 section 3.6)")
    for name, texts in fields.items():
        for text in texts:
            found += _mailboxes(name, text)
    return found


def _header_section(content: Content) -> list[bytes]:
    """Its lines, without line ends."""
    octets = b""
    with content.open() as source:
        while len(octets) < MAX_HEADER and not _END_OF_HEADER.search(octets):
            more = source.read(1 << 14)
            if not more:
                break
            octets += more
    end = _END_OF_HEADER.search(octets)
    if end is None and len(octets) >= MAX_HEADER:
        raise ValueError("the header section does not end")
    lines = octets[: end.start()] if end else octets
    return [line.removesuffix(b"\r") for line in lines.split(b"\n")]


def _fields(lines: list[bytes]) -> dict[str, list[str]]:
    """The texts of the fields that name authors, unfolded."""
    fields: dict[str, list[str]] = {"From": [], "Sender": []}
    into: list[str] = []
    for line in lines:
        if line[:1] in (b" ", b"\t"):
            if into:
                into[-1] += line.decode("utf-8", "replace")
            continue
        # RFC 5322 section 4.5.1: obsolete fields have spaces before the colon.
        name, _, text = line.partition(b":")
        into = fields.get(name.strip().decode("ascii", "replace").title(), [])
        into.append(text.decode("utf-8", "replace"))
    return fields


def _mailboxes(name: str, text: str) -> list[Mailbox]:
    if len(text) > MAX_FIELD or "\r" in text:
        raise ValueError(f"the {name}: field is too long or holds a bare CR")
    try:
        field: Any = _REGISTRY(name, text)
        groups, defects = field.addresses, field.defects
    # The parser has its own troubles (IndexError, RecursionError, …) with what strangers write.
    except Exception as failed:
        raise ValueError(f"the {name}: field cannot be parsed") from failed
    if not groups or any(isinstance(defect, InvalidHeaderDefect) for defect in defects):
        raise ValueError(f"the {name}: field names nobody, or not clearly")
    return [Mailbox.parse(each.addr_spec) for each in groups]


plugin = Plugin("sender_owns_address", IFilter, Settings, SenderOwnsAddress)

"""The file of aliases: which addresses stand for which others.

    postmaster: alice
    team: alice, bob@elsewhere.example,
        carol
    owner-team: alice
    news: :include:news-members
    sales@shop.example: dora
    @old.example: @example.org
    @shop.example: erin

A name without @ applies to all domains of this host. A target without @ is in the domain of the
address that was looked up. Indented lines continue the one before. A file named by :include: has
one address in each line. There are no pipes and no files here; use delivery agents for them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from operator import is_not
from pathlib import Path

from ..names.domain_set import DomainSet, one_spelling
from ..names.local_parts import folded, parse_user
from ..smtp.address import AddressError, Mailbox, parse_domain
from .watched import InThread, LineError, WatchedFile, significant_lines
from .watched_list import WatchedList

MAX_REMEMBERED = 100  # domains for which the members of one alias are remembered

#: (folded local part, domain). The domain "" means all our domains, the local part "" a catch-all.
Name = tuple[str, str]

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_LINE = re.compile(rf"((?:{_QUOTED}|[^\s\":,])+)\s*:(.*)", re.DOTALL)
_TARGETS = re.compile(rf"\s*((?:{_QUOTED}|[^\",])*?)\s*(?:,|$)", re.DOTALL)
_INCLUDE = ":include:"


@dataclass(frozen=True, slots=True)
class AliasTarget:
    """An address. If its local part or its domain is "", that of the address looked up is used."""

    local: str
    domain: str

    def address(self, local: str, domain: str) -> Mailbox:
        """The target for the address that was looked up."""
        return Mailbox(self.local or local, self.domain or domain)


@dataclass(frozen=True, slots=True)
class _Members:
    """The addresses that an alias stands for in one domain, for the present text of its lists.

    `own` are the positions at which the alias names itself.
    """

    lists: tuple[tuple[AliasTarget, ...], ...]
    addresses: tuple[Mailbox, ...]
    own: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Alias:
    """One alias. `line` is its line in the file; `lists` are the files that it includes."""

    line: int
    targets: tuple[AliasTarget, ...]
    lists: tuple[WatchedFile[tuple[AliasTarget, ...]], ...] = ()
    _known: dict[str, _Members] = field(default_factory=dict, compare=False, repr=False)

    def addresses(self, name: str, asked: Mailbox, domain: str) -> tuple[Mailbox, ...]:
        """The addresses that the alias stands for if `asked` is the recipient.

        Included files count as they are now. `name` is the name in the file by which the alias was
        found, and `domain` is the recipient's domain in its `one_spelling`. If the alias names
        itself, it means the recipient, with its case and its tag.
        """
        lists = tuple(file.value() for file in self.lists)
        if not name:  # a catch-all may keep the local part
            targets = chain(self.targets, *lists)
            return tuple(target.address(asked.local, domain) for target in targets)
        # A list may have thousands of members, and is asked for at every command.
        known = self._known.get(domain)
        if known is None or any(map(is_not, known.lists, lists)):
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            every = [target.address(name, domain) for target in chain(self.targets, *lists)]
            own = [folded(to.local) == name and to.domain == domain for to in every]
            places = tuple(at for at, itself in enumerate(own) if itself)
            known = self._known[domain] = _Members(lists, tuple(every), places)
        if not known.own:
            return known.addresses
        addresses = list(known.addresses)
        for place in known.own:
            addresses[place] = asked
        return tuple(addresses)


class Aliases:
    """All aliases of a file. Raises LineError for aliases that lead back to themselves.

    `domains` are the domains to which names without @ apply.
    """

    def __init__(
        self, entries: Mapping[Name, Alias], domains: DomainSet, separator: str = "+"
    ) -> None:
        self._entries = entries
        self._domains = domains
        self._separator = separator
        self._refuse_circles()

    def __len__(self) -> int:
        return len(self._entries)

    def look(self, local: str, domain: str) -> tuple[str, Alias] | None:
        """The alias for this address, and the name under which it was found; "" is the catch-all.

        The whole local part is tried before the one without its tag, a full address before a bare
        name, and the catch-all of the domain last. `domain` must be in its `one_spelling`.
        """
        local = folded(local)
        names = [local]
        if self._separator and self._separator in local:
            names.append(local.partition(self._separator)[0])
        ours = domain in self._domains
        for name in filter(None, names):
            entry = self._entries.get((name, domain))
            if entry is None and ours:
                entry = self._entries.get((name, ""))
            if entry is not None:
                return name, entry
        entry = self._entries.get(("", domain))
        return None if entry is None else ("", entry)

    def _refuse_circles(self) -> None:
        named = {domain for _, domain in self._entries if domain in self._domains}
        if self._domains.first:
            named.add(self._domains.first)
        settled: set[Name] = set()
        for local, domain in self._entries:
            # A bare name means the same in all domains, unless the file names one of them.
            for each in [domain] if domain else sorted(named):
                circle = self._circle((local, each), settled)
                found = self.look(*circle[0]) if circle else None
                if found:
                    way = " → ".join(f"{local or '…'}@{domain}" for local, domain in circle)
                    said = f"the alias leads back to itself: {way}{self._caught(circle)}"
                    raise LineError(found[1].line, said)

    def _caught(self, circle: list[Name]) -> str:
        """Advice for the case that a catch-all also takes the mail of its own targets."""
        caught = []
        for local, domain in circle[:-1]:
            found = self.look(local, domain)
            if local and found is not None and not found[0]:
                caught.append(f"`{local}@{domain}: {local}@{domain}`")
        if not caught:
            return ""
        return (
            "; a catch-all takes all that has no line of its own: write "
            f"{' and '.join(caught)}, or use `catch_all` in [[route]] mailboxes instead"
        )

    def _circle(self, start: Name, settled: set[Name]) -> list[Name]:
        """Follow the aliases depth first, without recursion; the names of a loop, [] if there is
        none.
        """
        way = {start: iter(self._next(start))} if start not in settled else {}
        while way:
            last = next(reversed(way))
            following = next(way[last], None)
            if following is None:
                settled.add(last)
                del way[last]
            elif following in way:
                names = list(way)
                return [*names[names.index(following) :], following]
            elif following not in settled:
                way[following] = iter(self._next(following))
        return []

    def _next(self, name: Name) -> list[Name]:
        """The names that its mail goes to; a copy for the name itself does not count."""
        found = self.look(*name)
        if found is None:
            return []
        steps = []
        known_by, alias = found
        for address in alias.addresses(known_by, Mailbox(*name), name[1]):
            step = (folded(address.local), one_spelling(address.domain))
            if step != name:
                steps.append(step)
        return steps


def parse_aliases(
    text: str,
    folder: Path,
    domains: DomainSet,
    now: Callable[[], float] = time.monotonic,
    separator: str = "+",
    in_thread: InThread | None = None,
) -> Aliases:
    """Parse the file; included files are looked up in `folder`. Raises LineError."""
    entries: dict[Name, Alias] = {}
    for number, line in _logical_lines(text):
        match = _LINE.fullmatch(line)
        if match is None:
            raise LineError(number, "`name: address, address` is wanted")
        name = _name(number, match[1], domains)
        if name in entries:
            raise LineError(number, f"{match[1]} stands in line {entries[name].line} already")
        entries[name] = _entry(number, match[2], folder, now, in_thread, is_catch_all=not name[0])
    return Aliases(entries, domains, separator)


def parse_members(text: str) -> tuple[AliasTarget, ...]:
    """Parse an included file: one or several addresses in a line. Raises LineError."""
    return tuple(
        _target(number, word, is_catch_all=False)
        for number, line in significant_lines(text)
        for word in _words(number, re.split(r"\s#", line)[0])
    )


def _logical_lines(text: str) -> Iterable[tuple[int, str]]:
    """The lines joined with those that continue them, each numbered by its first line."""
    found: list[tuple[int, str]] = []
    for number, row in enumerate(text.splitlines(), 1):
        line = re.split(r"\s#", row)[0].rstrip()
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not line[0].isspace():
            found.append((number, line))
        elif found:
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
        else:
            raise LineError(number, "an indented line continues the one before; there is none")
    return found


def _name(number: int, text: str, domains: DomainSet) -> Name:
    try:
        if text.startswith("@"):
            return "", one_spelling(parse_domain(text[1:]))
        user = parse_user(text)
        domain = one_spelling(user.domain) if user.domain else ""
    except ValueError as wrong:
        raise LineError(number, f"{text!r} is no name and no address: {wrong}") from wrong
    if not domain and not domains:
        raise LineError(number, f"{text!r} has no domain, and the setting `domains` names none")
    return folded(user.local), domain


def _entry(
    number: int,
    text: str,
    folder: Path,
    now: Callable[[], float],
    in_thread: InThread | None,
    is_catch_all: bool,
) -> Alias:
    targets: list[AliasTarget] = []
    lists: list[WatchedFile[tuple[AliasTarget, ...]]] = []
    for word in _words(number, text):
        if word.lower().startswith(_INCLUDE):
            lists.append(_include(number, folder / word[len(_INCLUDE) :].strip(), now, in_thread))
        else:
            targets.append(_target(number, word, is_catch_all))
    if not targets and not lists:
        raise LineError(number, "no address follows the colon")
    return Alias(number, tuple(dict.fromkeys(targets)), tuple(lists))


def _include(
    number: int, path: Path, now: Callable[[], float], in_thread: InThread | None
) -> WatchedFile[tuple[AliasTarget, ...]]:
    try:
        return WatchedList(path, parse_members, now, in_thread)
    except LineError as wrong:
        raise LineError(number, f"{path}:{wrong.line}: {wrong.message}") from wrong
    except OSError as failed:
        raise LineError(number, f"{path}: {failed.strerror or failed}") from failed
    except ValueError as wrong:
        raise LineError(number, f"{path}: {wrong}") from wrong


def _words(number: int, text: str) -> Iterator[str]:
    """The parts between the commas that are not quoted."""
    at, text = 0, text.strip()
    while at < len(text):
        match = _TARGETS.match(text, at)
        if match is None:
            raise LineError(number, "a quote does not end")
        at = match.end()
        if match[1]:
            yield match[1]


def _target(number: int, word: str, is_catch_all: bool) -> AliasTarget:
    if word.lstrip('"').startswith(("|", "/", ":")):
        raise LineError(
            number, f"{word!r}: only addresses; commands and files are [deliver] agents' work"
        )
    try:
        if word.startswith("@"):
            if not is_catch_all:
                raise AddressError("only `@domain: @other` has a target without local part")
            return AliasTarget("", one_spelling(parse_domain(word[1:])))
        user = parse_user(word)
        if not user.local:
            raise AddressError("its local part is empty")
        if not user.domain or user.domain.startswith("["):
            return AliasTarget(user.local, user.domain)
        # A-labels: mail to a U-label would need SMTPUTF8 (RFC 6531 section 3.2).
        return AliasTarget(user.local, one_spelling(user.domain))
    except ValueError as wrong:
        raise LineError(number, f"{word!r} is no address: {wrong}") from wrong

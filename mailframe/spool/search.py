"""What messages are found by: when they are due, and the addresses that they concern."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from ..message import Entry, Pending
from ..message.codec import encode_pending
from ..smtp.address import Mailbox


class Waiting(NamedTuple):
    """What follows from the waiting recipients, as columns of a table.

    `due` is the earliest of their times. `domain` is their domain, "" if they have several.
    `addresses` comes from `searchable`, `octets` from the codec.
    """

    due: float
    domain: str
    recipients: int
    addresses: bytes
    octets: bytes


def waiting(pending: Sequence[Pending]) -> Waiting:
    """The columns for these recipients, of which there must be at least one."""
    addresses: dict[Mailbox, None] = {}
    for each in pending:
        addresses[each.recipient.address] = None
        addresses.update(dict.fromkeys(each.recipient.came_from))
    domains = {each.recipient.address.domain for each in pending}
    return Waiting(
        min(each.due for each in pending),
        _one_domain(domains),
        len(pending),
        searchable(addresses),
        encode_pending(pending),
    )


def _one_domain(domains: set[str]) -> str:
    """The domain that all recipients have; "" if they have several.

    "" makes the store look at each recipient. It is also the answer for a domain that is not plain
    text.
    """
    if len(domains) > 1:
        return ""
    domain = next(iter(domains))
    return domain if domain.isprintable() else ""


def searchable(addresses: Iterable[Mailbox]) -> bytes:
    """The addresses in the form that `sought` looks for: lower case, each between line feeds."""
    joined = "\n".join([str(address) for address in addresses]).lower()
    return f"\n{joined}\n".encode("utf-8", "surrogatepass")


def sought(address: str) -> bytes:
    """The octets that `searchable` contains if it has this address or, for "@domain", that domain.

    For "" they are empty, which every message contains.
    """
    if not address:
        return b""
    start = "" if address.startswith("@") else "\n"
    return f"{start}{address.lower()}\n".encode("utf-8", "surrogatepass")


def concerns(entry: Entry, octets: bytes) -> bool:
    """True if `octets`, which `sought` gave, occur in the sender or a waiting recipient.

    An address from which a recipient was redirected counts as well.
    """
    if not octets:
        return True
    sender = entry.message.envelope.sender
    named = [] if sender is None else [sender]
    for each in entry.pending:
        named += [each.recipient.address, *each.recipient.came_from]
    return octets in searchable(named)


def due_at(pending: Iterable[Pending], when: float) -> list[Pending]:
    """All of them, due at that time."""
    return [replace(each, due=when) for each in pending]

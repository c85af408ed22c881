"""What messages are found by: when they are due, whom they concern."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from ..message import Entry, Pending
from ..message.codec import encode_pending
from ..smtp.address import Mailbox


class Waiting(NamedTuple):
    """What follows from the recipients that wait, as columns of a table.

    `due` is the earliest of their times, `domain` the only one they have, "" for several;
    `addresses` is what `searchable` gives, `octets` what the codec does.
    """

    due: float
    domain: str
    recipients: int
    addresses: bytes
    octets: bytes


def waiting(pending: Sequence[Pending]) -> Waiting:
    """Of one recipient at least."""
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
    """The only domain; "" (look at each recipient) for several, or for what is no plain text."""
    if len(domains) > 1:
        return ""
    domain = next(iter(domains))
    return domain if domain.isprintable() else ""


def searchable(addresses: Iterable[Mailbox]) -> bytes:
    """The addresses as `sought` compares them: lower case, each between line feeds."""
    joined = "\n".join([str(address) for address in addresses]).lower()
    return f"\n{joined}\n".encode("utf-8", "surrogatepass")


def sought(address: str) -> bytes:
    """What is in `searchable` octets if this address is, or "@domain" one of that domain.

    Empty for "", which all have.
    """
    if not address:
        return b""
    start = "" if address.startswith("@") else "\n"
    return f"{start}{address.lower()}\n".encode("utf-8", "surrogatepass")


def concerns(entry: Entry, octets: bytes) -> bool:
    """True if what `sought` gave is in the sender or a recipient that waits, or came from."""
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

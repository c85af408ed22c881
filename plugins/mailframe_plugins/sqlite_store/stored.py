"""Messages and recipients in the form in which the tables hold them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from mailframe.message import Pending
from mailframe.message.codec import encode_pending
from mailframe.smtp.address import Mailbox


class NewMessage(NamedTuple):
    """A message to be stored; `octets` None where the body is a file."""

    id: str
    created: float
    pending: tuple[Pending, ...]
    sender: bytes
    size: int
    envelope: bytes
    body_sum: int
    prefix: bytes
    octets: bytes | None


class Waiting(NamedTuple):
    """The columns that follow from the recipients that wait."""

    due: float
    domain: str
    recipients: int
    addresses: bytes
    octets: bytes


def waiting(pending: Sequence[Pending]) -> Waiting:
    """One recipient at least."""
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


def searchable(addresses: Iterable[Mailbox]) -> bytes:
    """The addresses as `find` compares them: lower case, each between line feeds."""
    joined = "\n".join([str(address) for address in addresses]).lower()
    return f"\n{joined}\n".encode("utf-8", "surrogatepass")


def _one_domain(domains: set[str]) -> str:
    """The only domain; "" (look at each recipient) for several, or what is no text to SQLite."""
    if len(domains) > 1:
        return ""
    domain = next(iter(domains))
    return domain if domain.isprintable() else ""


def due_at(pending: Iterable[Pending], when: float) -> list[Pending]:
    """All of them, due at that time."""
    return [replace(each, due=when) for each in pending]


def at_a_time(waiting: int) -> int:
    """How many of the rows that wait one statement takes: nearly all, by few statements in all."""
    return waiting if waiting <= 16 else min(64, waiting // 16 * 16)


@lru_cache(maxsize=128)
def marks(count: int) -> str:
    """As many question marks, with commas."""
    return ",".join("?" * count)


@lru_cache(maxsize=64)
def insertion(table: str, columns: str, count: int) -> str:
    """One INSERT for so many rows."""
    row = f"({marks(columns.count(',') + 1)})"
    return f"INSERT INTO {table} ({columns}) VALUES {','.join([row] * count)}"

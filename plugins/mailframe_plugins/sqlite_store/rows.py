"""Reads rows back as entries, or finds that they are damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from types import NoneType
from typing import BinaryIO, NamedTuple
from zlib import crc32

from mailframe.message import Content, Entry, Message
from mailframe.message.codec import Damaged, decode_envelope, decode_pending
from mailframe.spool.bodies import StoredBody

from .errors import is_damage
from .statements import marks

AT_HAND = 1 << 16  # octets; larger bodies are opened when they are needed

_MESSAGE = (
    "m.key, m.id, m.created, m.hold, m.size, m.file, m.envelope, m.envelope_sum, "
    "m.pending, m.pending_sum, m.body_sum"
)
_BODY = f"b.prefix, CASE WHEN length(b.octets) <= {AT_HAND} THEN b.octets END"
_JOINED = "message m LEFT JOIN body b ON b.key = m.key"


class MessageRow(NamedTuple):
    """One message as it is stored; `octets` is None if the body has not been read."""

    key: int
    id: str
    created: float
    hold: int
    size: int
    file: int
    envelope: bytes
    envelope_sum: int
    pending: bytes
    pending_sum: int
    body_sum: int
    prefix: bytes | None
    octets: bytes | None = None


class Broken(NamedTuple):
    """A message to be set aside, and the reason."""

    key: int
    id: str
    reason: str


#: Returns what opens a body that is not in memory.
Opener = Callable[[StoredBody], Callable[[], BinaryIO]]


def read_rows(
    connection: sqlite3.Connection, keys: Sequence[int], *, bodies: bool
) -> tuple[list[MessageRow], list[Broken]]:
    """These messages in the order of `keys`, and separately those whose body cannot be read.

    If `bodies` is False, the bodies are left to be opened later. Raises sqlite3.DatabaseError if
    not even the message's own page can be read.
    """
    columns = f"{_MESSAGE}, {_BODY if bodies else 'b.prefix'}"
    found: dict[int, MessageRow] = {}
    broken: list[Broken] = []
    try:
        for row in connection.execute(
            f"SELECT {columns} FROM {_JOINED} WHERE m.key IN ({marks(len(keys))})", keys
        ):
            found[row[0]] = MessageRow(*row)
    except sqlite3.DatabaseError as wrong:
        if not is_damage(wrong):
            raise
        found.clear()
        for key in keys:
            try:
                _read_one(connection, columns, key, found)
            except sqlite3.DatabaseError as damage:
                if not is_damage(damage):
                    raise
                alone = connection.execute("SELECT id FROM message WHERE key = ?", (key,))
                for (id,) in alone.fetchall():
                    broken.append(Broken(key, id, f"its body cannot be read: {damage}"))
    return [found[key] for key in keys if key in found], broken


def _read_one(
    connection: sqlite3.Connection, columns: str, key: int, found: dict[int, MessageRow]
) -> None:
    for row in connection.execute(f"SELECT {columns} FROM {_JOINED} WHERE m.key = ?", (key,)):
        found[key] = MessageRow(*row)


def entries_of(
    rows: Sequence[MessageRow], leased: Collection[str], opener: Opener
) -> tuple[list[Entry], list[Broken]]:
    """The entries, and the messages that are damaged."""
    entries: list[Entry] = []
    broken: list[Broken] = []
    for row in rows:
        try:
            entries.append(_entry(row, row.id in leased, opener))
        except Damaged as wrong:
            broken.append(Broken(row.key, str(row.id), str(wrong)))
    return entries, broken


# SQLite accepts any type in any column, and a damaged octet may change the type.
_TYPES: tuple[type | tuple[type, ...], ...] = (
    int,
    str,
    (float, int),
    int,
    int,
    int,
    bytes,
    int,
    bytes,
    int,
    int,
    (bytes, NoneType),
    (bytes, NoneType),
)


def _entry(row: MessageRow, leased: bool, opener: Opener) -> Entry:
    if not all(isinstance(value, kind) for value, kind in zip(row, _TYPES, strict=True)):
        raise Damaged("a column holds what was never written")
    if crc32(row.envelope) != row.envelope_sum:
        raise Damaged("the envelope's checksum is wrong")
    if crc32(row.pending) != row.pending_sum:
        raise Damaged("the recipients' checksum is wrong")
    envelope = decode_envelope(row.envelope)
    if envelope.id != row.id:
        raise Damaged(f"the envelope is that of message {envelope.id}")
    if row.prefix is None:
        raise Damaged("its body is missing")
    about = StoredBody(row.id, row.size, bool(row.file), row.body_sum, row.prefix)
    body: bytes | Callable[[], BinaryIO]
    if row.octets is None:
        body = opener(about)
    else:
        about.verify(row.octets)
        body = row.octets
    content = Content(row.prefix, body, row.size)
    message = Message(row.id, envelope, content)
    return Entry(message, decode_pending(row.pending), row.created, bool(row.hold), leased)

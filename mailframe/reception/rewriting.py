"""Writes a draft again, because filters remove header fields that the client sent.

The store has the octets as they came and cannot change them. So a second draft gets them without
those fields, a piece at a time if they are not in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

from twisted.internet.defer import Deferred

from ..eventual import at_once, is_later
from ..interfaces import IDraft
from ..message import Without
from ..message.rewritten import removal_of
from ..mime.header import end
from ..mime.removal import Removal, without_fields

_PIECE = 1 << 16  # octets of one read


def rewritten(octets: bytes, without: Iterable[Without], limit: int) -> bytes:
    """The octets of a message without these fields. Its header section ends within `limit`."""
    return _shortened(octets, removal_of(without), limit)


async def rewrite(
    source: BinaryIO,
    new: IDraft,
    without: Iterable[Without],
    limit: int,
    in_thread: Callable[..., Deferred[Any]],
) -> bytes:
    """Copy `source` into the draft `new` without these fields; the draft is not committed.

    The header section has at most `limit` octets. Returns the first octets that were written, which
    contain all of it. Fails with OSError.
    """
    first = _shortened(await in_thread(_at_least, source, limit), removal_of(without), limit)
    await _write(new, first)
    while octets := await in_thread(source.read, _PIECE):
        await _write(new, octets)
    return first


async def _write(draft: IDraft, octets: bytes) -> None:
    waiting = at_once(draft.write(octets))
    if is_later(waiting):
        await waiting


def _at_least(source: BinaryIO, limit: int) -> bytes:
    """The first `limit` octets, or all if there are fewer: they contain the header section."""
    octets = b""
    while len(octets) < limit and (more := source.read(limit - len(octets))):
        octets += more
    return octets


def _shortened(octets: bytes, removal: Removal, limit: int) -> bytes:
    at = end(octets, limit)
    if at is None:
        at = len(octets)
    return without_fields(octets[:at], removal) + octets[at:]

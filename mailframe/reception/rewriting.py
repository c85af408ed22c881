"""A draft written anew, because filters take header fields of the client's away.

The store has the octets as they came; nothing in it can be changed. So a second draft gets them
without those fields, a piece at a time if they are not at hand.
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

_PIECE = 1 << 16  # octets read at once


def rewritten(octets: bytes, without: Iterable[Without], limit: int) -> bytes:
    """A message that is at hand without these fields; its header section ends within `limit`."""
    return _shortened(octets, removal_of(without), limit)


async def rewrite(
    source: BinaryIO,
    new: IDraft,
    without: Iterable[Without],
    limit: int,
    in_thread: Callable[..., Deferred[Any]],
) -> bytes:
    """Write what is read from `source` into `new` without these fields; it is not committed.

    The header section has at most `limit` octets; it is in those that are returned, the first
    that were written. Fails with OSError.
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
    """So many octets from the front, or all there are: the header section is among them."""
    octets = b""
    while len(octets) < limit and (more := source.read(limit - len(octets))):
        octets += more
    return octets


def _shortened(octets: bytes, removal: Removal, limit: int) -> bytes:
    at = end(octets, limit)
    if at is None:
        at = len(octets)
    return without_fields(octets[:at], removal) + octets[at:]

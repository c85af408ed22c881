"""Content with header fields added on top or removed; the body stays where it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import BinaryIO

from ..mime.header import end
from ..mime.removal import Removal, without_fields
from .content import Content
from .finding import Without

_BLOCK = 1 << 16  # octets of one read
_MOST = 4 << 20  # octets of a header section


def on_top(content: Content, fields: Iterable[str]) -> Content:
    """The content with these whole fields on top (folds as CRLF, no final line end)."""
    octets = "".join(f"{each}\r\n" for each in fields).encode()
    return Content(octets + content.prefix, content.body, content.body_size)


def shortened(content: Content, without: Iterable[Without]) -> Content:
    """The content without these fields.

    Opens content that is not in memory, and blocks then; OSError if that fails. ValueError if the
    header section has more than 4 MB.
    """
    removal = removal_of(without)
    if content.at_hand is not None:
        return _without(content.at_hand, content, removal)
    with content.open() as source:
        octets = b""
        while end(octets) is None and (more := source.read(_BLOCK)):
            octets += more
            if len(octets) > _MOST:
                raise ValueError(f"the header section has more than {_MOST} octets")
    return _without(octets, content, removal)


def _without(octets: bytes, content: Content, removal: Removal) -> Content:
    """`octets` are the first ones of the content, and contain its header section."""
    at = end(octets)
    section = octets if at is None else octets[:at]
    kept = without_fields(section, removal)
    left = content.size - len(section)
    if content.at_hand is not None:
        return Content(kept, content.at_hand[len(section) :], left)
    return Content(kept, _opener(content, len(section)), left)


def _opener(content: Content, skipped: int) -> Callable[[], BinaryIO]:
    def open_behind() -> BinaryIO:
        source = content.open()
        left = skipped
        try:
            while left and (passed := source.read(min(left, _BLOCK))):
                left -= len(passed)
        except BaseException:
            source.close()
            raise
        return source

    return open_behind


def removal_of(without: Iterable[Without]) -> Removal:
    """The fields in the form of `mailframe.mime.removal`."""
    removal: dict[bytes, frozenset[int] | None] = {}
    for each in without:
        name = each.name.lower().encode("ascii")
        before = removal.get(name, frozenset())
        if before is None or not each.instances:
            removal[name] = None
        else:
            removal[name] = before | frozenset(each.instances)
    return removal


def is_ascii(content: Content) -> bool:
    """True if no octet has its highest bit set. Blocks as `shortened` does."""
    with content.open() as source:
        return all(octets.isascii() for octets in iter(lambda: source.read(_BLOCK), b""))

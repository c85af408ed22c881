"""A document without its mistakes, so that what is right in it can be checked further."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from .convert import Mistakes

# For what must be given; no check complains of these.
_STAND_INS: Mapping[tuple[str, ...], Any] = {
    ("hostname",): "localhost",
    ("state",): ".",
    ("listen", "endpoint"): "tcp:0",
    ("tls", "certificates"): ".",
    ("mailboxes", "path"): "/{domain}/{user}",
}


def mended(document: dict[str, Any], wrong: Mistakes) -> dict[str, Any]:
    """The document with every wrong value taken out, or replaced where one must be."""
    copy = deepcopy(document)
    # From the end: what is taken out of a list must not move what comes next.
    for mistake in reversed(wrong.mistakes):
        _mend(copy, mistake.path)
    return copy


def _mend(document: dict[str, Any], path: tuple[str | int, ...]) -> None:
    place: Any = document
    for part in path[:-1]:
        place = place[part]
    last: Any = path[-1]
    stand_in = _stand_in(path)
    if stand_in is not None:
        place[last] = stand_in
    elif isinstance(place, list) or last in place:
        del place[last]


def _stand_in(path: tuple[str | int, ...]) -> Any:
    names = tuple(part for part in path if isinstance(part, str))
    if names == ("listen", "name"):
        return f"[[listen]] {path[1]}"
    if names == ("listen",) and len(path) == 2:
        return {"name": f"[[listen]] {path[1]}", "endpoint": "tcp:0"}
    return _STAND_INS.get(names)

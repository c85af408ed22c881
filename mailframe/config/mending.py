"""Takes the mistakes out of a document, so that the rest of it can be checked further."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from .convert import Mistakes

# For keys that must be given; no check complains of these values.
_STAND_INS: Mapping[tuple[str, ...], Any] = {
    ("hostname",): "localhost",
    ("state",): ".",
    ("listen", "endpoint"): "tcp:0",
    ("tls", "certificates"): ".",
    ("mailboxes", "path"): "/{domain}/{user}",
}


def mended(document: dict[str, Any], wrong: Mistakes) -> dict[str, Any]:
    """The document with every wrong value removed, or replaced if the key must be given."""
    copy = deepcopy(document)
    # From the end: removing an element of a list must not move those that are still to be removed.
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

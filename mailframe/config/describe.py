"""Describes settings as rows for people: the tables in the docs, and the hints of `check`."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from ..setting import Duration, Secret, Size
from ..smtp.address import Mailbox

_WORDS: dict[Any, str] = {
    str: "text",
    int: "number",
    float: "number",
    bool: "true or false",
    Path: "path",
    Mailbox: "mailbox",
    Duration: "duration",
    Size: "size",
    Secret: "secret",
    Any: "anything",
}
_UNITS: dict[Any, tuple[tuple[str, int], ...]] = {
    Duration: (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)),
    Size: (("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)),
}


class DescribedKey(NamedTuple):
    """One key: its type in words, its default as it would be written in TOML, its meaning.

    `default` is None for a key that must be given, and "" for one that may be left out.
    """

    key: str
    type: str
    default: str | None
    meaning: str


def describe(settings: type[Any]) -> tuple[DescribedKey, ...]:
    """The keys of a settings dataclass in their order; keys of tables in it are "table.key"."""
    if not is_dataclass(settings):
        return ()
    types = typing.get_type_hints(settings)
    rows: list[DescribedKey] = []
    for each in fields(settings):
        rows.append(
            DescribedKey(
                each.name,
                words(types[each.name]),
                _default(each, types[each.name]),
                each.metadata.get("meaning", ""),
            )
        )
        inner = _dataclass_in(types[each.name])
        if inner is not None:
            rows += [row._replace(key=f"{each.name}.{row.key}") for row in describe(inner)]
    return tuple(rows)


def words(type_: Any) -> str:
    """The name that an operator has for a type: "list of text", "duration or false"."""
    origin, arguments = get_origin(type_), get_args(type_)
    if origin is Literal:
        return " or ".join(f'"{choice}"' for choice in arguments)
    if origin in (Union, UnionType):
        arms = [words(arm) for arm in arguments if arm is not NoneType]
        return " or ".join(dict.fromkeys(arms))
    if origin in (dict, Mapping):
        return f"table of {words(arguments[1])}"
    if arguments:
        return f"list of {words(arguments[0])}"
    if type_ in _WORDS:
        return _WORDS[type_]
    return "table" if is_dataclass(type_) else getattr(type_, "__name__", str(type_))


def _dataclass_in(type_: Any) -> Any:
    if is_dataclass(type_) and type_ is not Mailbox:
        return type_
    return next(filter(None, map(_dataclass_in, get_args(type_))), None)


def _default(each: Any, type_: Any) -> str | None:
    if each.default is not MISSING:
        return _written(each.default, type_)
    if each.default_factory is not MISSING:
        return _written(each.default_factory(), type_)
    return None


def _written(value: Any, type_: Any) -> str:
    """A default as TOML writes it; durations and sizes in their largest unit."""
    arms = [arm for arm in get_args(type_) if arm is not NoneType]
    if get_origin(type_) in (Union, UnionType):
        return _written(value, arms[0])
    if value is None or (is_dataclass(value) and not isinstance(value, Mailbox)):
        return ""
    if isinstance(value, tuple | list | frozenset):
        return f"[{', '.join(_written(each, arms[0]) for each in value)}]"
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{key} = {_written(of, arms[1])}" for key, of in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, bool):
        return str(value).lower()
    if type_ in _UNITS and value:
        for unit, worth in _UNITS[type_]:
            if value % worth == 0:
                return f'"{int(value // worth)}{unit}"'
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    return f'"{value.value if isinstance(value, Enum) else value}"'

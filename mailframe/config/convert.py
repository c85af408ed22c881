"""Converts tables into settings dataclasses, and tells every mistake in words for the operator."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from cattrs import (
    AttributeValidationNote,
    ClassValidationError,
    Converter,
    ForbiddenExtraKeysError,
)
from cattrs.gen import make_dict_structure_fn

from ..setting import Duration, Secret, SettingError, Size
from ..smtp.address import Mailbox
from . import units
from .suggest import did_you_mean
from .units import WrongValue, expected

S = TypeVar("S")

_LISTS: dict[Any, Callable[[Any], Any]] = {
    tuple: tuple,
    list: list,
    Sequence: tuple,
    frozenset: frozenset,
    AbstractSet: frozenset,
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """One wrong value: the path of its key within the table, and what is wrong with it."""

    path: tuple[str | int, ...]
    message: str


class Mistakes(Exception):
    """Everything that is wrong with one table."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("; ".join(f"{each.path}: {each.message}" for each in mistakes))
        self.mistakes = tuple(mistakes)


def convert(table: Any, settings: type[S], folder: Path) -> S:
    """Convert the table to that dataclass; relative paths begin at `folder`. Raises Mistakes.

    A value that has the right type already, as in a composition made in Python, is taken as it is.
    """
    try:
        return converter_for(folder).structure(table, settings)
    # Whatever is raised while values are converted says what is wrong with them.
    except Exception as wrong:  # noqa: BLE001
        raise Mistakes(list(_mistakes(wrong, ()))) from None


def converter_for(folder: Path) -> Converter:
    """cattrs' Converter, but strict: no text becomes a number, and no text becomes a list of
    letters.
    """
    converter = Converter()
    for type_, hook in _leaves(folder).items():
        converter.register_structure_hook(type_, hook)
    converter.register_structure_hook_func(_is(Literal), _one_of)
    converter.register_structure_hook_factory(
        lambda type_: is_dataclass(type_) and type_ is not Mailbox,
        lambda type_: _table(
            make_dict_structure_fn(type_, converter, _cattrs_forbid_extra_keys=True)
        ),
    )
    converter.register_structure_hook_func(
        _is(*_LISTS),
        lambda value, type_: _several(value, type_, converter),
    )
    converter.register_structure_hook_func(
        _is(dict, Mapping),
        lambda value, type_: _by_key(value, type_, converter),
    )
    converter.register_structure_hook_func(
        _is(Union, UnionType),
        lambda value, type_: _any_of(value, type_, converter),
    )
    return converter


def _is(*origins: Any) -> Callable[[Any], bool]:
    def matches(type_: Any) -> bool:
        return get_origin(type_) in origins

    return matches


def _leaves(folder: Path) -> dict[Any, Callable[[Any, Any], Any]]:
    return {
        str: _text,
        bool: _flag,
        int: _whole,
        float: _number,
        Path: lambda value, _: value if isinstance(value, Path) else units.path(value, folder),
        Mailbox: lambda value, _: value if isinstance(value, Mailbox) else units.mailbox(value),
        Duration: lambda value, _: units.duration(value),
        Size: lambda value, _: units.size(value),
        Secret: lambda value, _: units.secret(value, folder),
    }


def _text(value: Any, _: Any) -> str:
    if not isinstance(value, str):
        raise expected("a text", value)
    return value


def _flag(value: Any, _: Any) -> bool:
    if not isinstance(value, bool):
        raise expected("true or false", value)
    return value


def _whole(value: Any, _: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise expected("a whole number", value)
    return value


def _number(value: Any, _: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise expected("a number", value)
    return float(value)


def _one_of(value: Any, type_: Any) -> Any:
    choices = get_args(type_)
    for choice in choices:
        if choice == value and type(choice) is type(value):
            return value
    words = " or ".join(units.shown(choice) for choice in choices)
    near = did_you_mean(value, map(str, choices)) if isinstance(value, str) else ""
    raise WrongValue(f"{expected(words, value)}{near if 'did you' in near else ''}")


def _table(structure: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def checked(value: Any, type_: Any) -> Any:
        if isinstance(value, type_):
            return value
        if not isinstance(value, Mapping):
            raise expected("a table", value)
        return structure(value, type_)

    return checked


def _several(value: Any, type_: Any, converter: Converter) -> Any:
    """A list with each element of its type; for `tuple[X, Y]` of exactly so many elements."""
    arguments = get_args(type_)
    if not isinstance(value, list | tuple | set | frozenset):
        raise expected("a list", value)
    if get_origin(type_) is tuple and arguments[-1:] != (...,):
        if len(value) != len(arguments):
            raise WrongValue(f"expected a list of {len(arguments)}, got {len(value)}")
    else:
        arguments = (arguments[0],) * len(value)
    return _LISTS[get_origin(type_)](
        _each(zip(range(len(value)), value, arguments, strict=True), converter)
    )


def _by_key(value: Any, type_: Any, converter: Converter) -> dict[Any, Any]:
    """A table with any keys, and each value of its type."""
    if not isinstance(value, Mapping):
        raise expected("a table", value)
    _, of = get_args(type_)
    values = _each(((key, each, of) for key, each in value.items()), converter)
    return dict(zip(value, values, strict=True))


def _each(elements: Any, converter: Converter) -> list[Any]:
    values: list[Any] = []
    mistakes: list[Mistake] = []
    for place, element, type_ in elements:
        try:
            values.append(converter.structure(element, type_))
        # As in `convert`.
        except Exception as wrong:  # noqa: BLE001
            mistakes += _mistakes(wrong, (place,))
    if mistakes:
        raise Mistakes(mistakes)
    return values


def _any_of(value: Any, type_: Any, converter: Converter) -> Any:
    """`X | None`, or the first of several types that accepts the value.

    TOML has no None, so `false` means None, unless the type could also take it as a value.
    """
    arms = get_args(type_)
    if NoneType in arms and (value is None or (value is False and bool not in arms)):
        return None
    mistakes: list[Mistake] = []
    for arm in arms:
        if arm is NoneType:
            continue
        try:
            return converter.structure(value, arm)
        # As in `convert`.
        except Exception as wrong:  # noqa: BLE001
            mistakes += _mistakes(wrong, ())
    deeper = [each for each in mistakes if each.path]
    if deeper or len(mistakes) == 1:
        raise Mistakes(deeper or mistakes)
    raise WrongValue(", or ".join(dict.fromkeys(each.message for each in mistakes)))


def _mistakes(wrong: BaseException, path: tuple[str | int, ...]) -> Iterator[Mistake]:
    """Walks the tree of errors that cattrs gives; one Mistake for each leaf."""
    if isinstance(wrong, Mistakes):
        for each in wrong.mistakes:
            yield Mistake((*path, *each.path), each.message)
    elif isinstance(wrong, ClassValidationError):
        named, unnamed = wrong.group_exceptions()
        for inner, note in named:
            yield from _of_attribute(inner, note, wrong.cl, path)
        for inner in unnamed:
            yield from _mistakes(inner, path)
    elif isinstance(wrong, ForbiddenExtraKeysError):
        known = {each.name for each in fields(wrong.cl)}
        for key in sorted(wrong.extra_fields):
            yield Mistake((*path, key), f"unknown key{did_you_mean(key, known)}")
    elif isinstance(wrong, SettingError):
        yield Mistake((*path, *wrong.key.split(".")), wrong.message)
    else:
        yield Mistake(path, str(wrong) or type(wrong).__name__)


def _of_attribute(
    wrong: BaseException, note: AttributeValidationNote, of: Any, path: tuple[str | int, ...]
) -> Iterator[Mistake]:
    if isinstance(wrong, KeyError) and wrong.args == (note.name,):
        (meaning,) = (
            each.metadata.get("meaning", "") for each in fields(of) if each.name == note.name
        )
        yield Mistake((*path, note.name), f"missing{': ' if meaning else ''}{meaning}")
    else:
        yield from _mistakes(wrong, (*path, note.name))

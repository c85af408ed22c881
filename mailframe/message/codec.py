"""Writes every value as JSON and reads it back: for stores, recordings and other processes.

What is written follows from a value's fields, so a new field is written as well. Fields at their
default are left out. Everything written carries a version, so that a later form can be told from
this one. Decoding raises Damaged for anything that is not exactly what encoding made.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from enum import Enum
from functools import lru_cache
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from ..smtp.address import Mailbox
from ..smtp.reply import Reply
from .client import Client, Tls
from .content import Content, Message
from .entry import Entry, Pending
from .envelope import Envelope, Recipient
from .event import Event
from .finding import AuthResult, Finding, Without
from .outcome import Outcome
from .route import NextHop, Redirect, Route

VERSION = 1

#: What `encode` can write. A Message's content must be at hand. Those facts of an Event that JSON
#: has no form for are written as text. A NextHop is written with its password.
VALUES: tuple[type[Any], ...] = (
    AuthResult, Client, Content, Entry, Envelope, Event, Finding, Mailbox, Message, NextHop,
    Outcome, Pending, Recipient, Redirect, Reply, Route, Tls, Without,
)  # fmt: skip

T = TypeVar("T")
_As = Callable[[Any], Any]

_LISTS = (Mailbox, Reply, Tls)  # written as lists, in the order of their fields
_KEYS = {
    (Recipient, "address"): "at",
    (Recipient, "came_from"): "from",
    (Pending, "recipient"): "to",
}
_WRONG = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)

_encode = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, separators=(",", ":"), default=str
).encode


class Damaged(Exception):
    """Stored data cannot be read back; the message says why."""


class _Form(NamedTuple):
    """How one type is written (None: as it is) and read; reading raises one of _WRONG."""

    write: _As | None
    read: _As


class _Field(NamedTuple):
    name: str
    key: str
    default: Any  # MISSING if there is none
    write: _As | None
    read: _As


def encode(value: Any) -> bytes:
    """One of VALUES as JSON in UTF-8. TypeError if its content is not at hand."""
    row = to_row(value)
    return _octets(row if isinstance(row, dict) else {"is": row})


def decode(kind: type[T], octets: bytes) -> T:
    """The value of this kind. Raises Damaged."""
    row = _parse(octets)
    return from_row(kind, row["is"] if kind in _LISTS and "is" in row else row)


def to_row(value: Any) -> Any:
    """One of VALUES as a dict or a list for JSON, without a version. TypeError as in `encode`."""
    kind: Any = type(value)
    write = _form(kind).write
    return value if write is None else write(value)


def from_row(kind: type[T], row: Any) -> T:
    """The value of this kind that `to_row` made the row from. Raises Damaged."""
    hint: Any = kind
    try:
        value: T = _form(hint).read(row)
    except _WRONG as wrong:
        raise Damaged(f"the {kind.__name__.lower()} is not what was written: {wrong!r}") from wrong
    return value


def encode_envelope(envelope: Envelope) -> bytes:
    """The envelope as JSON in UTF-8."""
    return encode(envelope)


def decode_envelope(octets: bytes) -> Envelope:
    """The envelope. Raises Damaged."""
    return decode(Envelope, octets)


def encode_pending(pending: Iterable[Pending]) -> bytes:
    """The waiting recipients of a message as JSON in UTF-8."""
    return _octets({"pending": [to_row(each) for each in pending]})


def decode_pending(octets: bytes) -> tuple[Pending, ...]:
    """The waiting recipients, at least one. Raises Damaged."""
    rows = _parse(octets).get("pending")
    if not isinstance(rows, list) or not rows:
        raise Damaged("no recipient waits")
    return tuple([from_row(Pending, row) for row in rows])


def _octets(row: dict[str, Any]) -> bytes:
    row["v"] = VERSION
    return _encode(row).encode("utf-8", "surrogatepass")


def _parse(octets: bytes) -> dict[str, Any]:
    try:
        row = json.loads(octets.decode("utf-8", "surrogatepass"))
    except (ValueError, AttributeError, RecursionError) as wrong:
        raise Damaged(f"no JSON: {wrong}") from wrong
    if not isinstance(row, dict):
        raise Damaged("no JSON object")
    if row.get("v") != VERSION:
        raise Damaged(f"written in form {row.get('v')!r}, which is not known here")
    return row


@lru_cache(maxsize=256)
def _form(hint: Any) -> _Form:
    """How a field of this type is written and read."""
    scalar = _SCALARS.get(hint)
    if scalar is not None:
        return scalar
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _optional(hint)
    if origin is Literal:
        return _Form(None, lambda value: _one_of(value, inner))
    if origin is tuple:
        return _many(_form(inner[0]))
    if origin is frozenset:
        return _Form(sorted, lambda value: frozenset(map(_text, _list(value))))
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(_text if inner[1] is str else _anything)
    if issubclass(hint, Enum):
        return _Form(attrgetter("value"), hint)
    return _sequence(hint) if hint in _LISTS else _object(hint)


def _some(hint: Any) -> Any:
    """X of `X | None`."""
    (found,) = (each for each in get_args(hint) if each is not NoneType)
    return found


def _optional(hint: Any) -> _Form:
    write, read = _form(_some(hint))
    if write is None:
        return _Form(None, lambda value: None if value is None else read(value))
    return _Form(
        lambda value: None if value is None else write(value),
        lambda value: None if value is None else read(value),
    )


def _many(each: _Form) -> _Form:
    write, read = each
    return _Form(
        list if write is None else lambda values: [write(value) for value in values],
        lambda values: tuple([read(value) for value in _list(values)]),
    )


def _mapping(read: _As) -> _Form:
    def read_all(row: Any) -> dict[str, Any]:
        return {_text(name): read(value) for name, value in row.items()}

    return _Form(dict, read_all)


def _fields(kind: Any) -> list[_Field]:
    hints = get_type_hints(kind)
    found = []
    for each in fields(kind):
        if not each.init:
            continue
        hint, default = hints[each.name], each.default
        if default is None:
            # None is left out, so a value that is written or read is not None.
            hint = _some(hint)
        elif default is MISSING and each.default_factory is not MISSING:
            default = each.default_factory()
        form = _form(hint)
        key = _KEYS.get((kind, each.name), each.name)
        found.append(_Field(each.name, key, default, form.write, form.read))
    return found


def _sequence(kind: Any) -> _Form:
    """The form of a value that is written as the list of its fields, which are plain."""
    found = _fields(kind)
    reads = [_form(get_type_hints(kind)[each.name]).read for each in found]

    def read(row: Any) -> Any:
        return kind(*[read(value) for read, value in zip(reads, _list(row), strict=True)])

    return _Form(attrgetter(*[each.name for each in found]), read)


def _object(kind: Any) -> _Form:
    """The form of a value that is written as an object of those fields that are not at their
    defaults.

    Like dataclasses, this generates Python code for each kind. Loops over the fields of an envelope
    and its recipients would take half as long again.
    """
    known: dict[str, Any] = {"kind": kind, "is_object": _is_object}
    writing = ["def write(value):", " row = {}"]
    reading = ["def read(row):", " is_object(row)", " return kind("]
    for number, (name, key, default, write, read) in enumerate(_fields(kind)):
        known |= {f"d{number}": default, f"w{number}": write, f"r{number}": read}
        given = "given" if write is None else f"w{number}(given)"
        writing.append(f" given = value.{name}")
        stored = f"r{number}(row[{key!r}])"
        if default is MISSING:
            writing.append(f" row[{key!r}] = {given}")
            reading.append(f"  {name}={stored},")
        else:
            differs = "is not None" if default is None else f"!= d{number}"
            writing.append(f" if given {differs}: row[{key!r}] = {given}")
            # Each value gets its own mapping, though nothing changes it.
            absent = f"d{number}.copy()" if isinstance(default, dict) else f"d{number}"
            reading.append(f"  {name}={stored} if {key!r} in row else {absent},")
    exec("\n".join([*writing, " return row", *reading, " )"]), known)
    return _Form(known["write"], known["read"])


def _is_object(row: Any) -> None:
    if not isinstance(row, dict):
        raise TypeError(f"a {type(row).__name__} where an object was written")


def _write_content(content: Content) -> dict[str, Any]:
    if not isinstance(content.body, bytes):
        raise TypeError("the content is not at hand")
    return {"prefix": _base64(content.prefix), "body": _base64(content.body)}


def _read_content(row: Any) -> Content:
    body = b64decode(_text(row["body"]), validate=True)
    return Content(b64decode(_text(row["prefix"]), validate=True), body, len(body))


def _base64(octets: bytes) -> str:
    return b64encode(octets).decode("ascii")


def _anything(value: Any) -> Any:
    return value


def _one_of(value: Any, words: tuple[Any, ...]) -> Any:
    if value not in words:
        raise ValueError(f"{value!r} is none of {', '.join(map(str, words))}")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"a {type(value).__name__} where a list was written")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a {type(value).__name__} where a text was written")
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"a {type(value).__name__} where true or false was written")
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"a {type(value).__name__} where a whole number was written")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, float | int) or isinstance(value, bool):
        raise TypeError(f"a {type(value).__name__} where a number was written")
    return float(value)


_SCALARS: Mapping[Any, _Form] = {
    str: _Form(None, _text),
    bool: _Form(None, _truth),
    int: _Form(None, _whole),
    float: _Form(None, _number),
    object: _Form(None, _anything),
    Content: _Form(_write_content, _read_content),
}

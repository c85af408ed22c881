"""Every value comes back from JSON as it was, and nothing else does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from enum import Enum
from functools import partial
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mailframe.message import Client, Content, Envelope, Event, Pending, Recipient, Tls
from mailframe.message.codec import (
    VALUES,
    Damaged,
    decode,
    decode_envelope,
    decode_pending,
    encode,
    encode_envelope,
    encode_pending,
    from_row,
    to_row,
)
from mailframe.smtp.address import Mailbox
from mailframe.smtp.reply import Reply

_text = some.text(max_size=20)
_BY_TYPE: dict[Any, some.SearchStrategy[Any]] = {
    str: _text,
    int: some.integers(),
    float: some.floats(allow_nan=False, allow_infinity=False),
    bool: some.booleans(),
    object: _text | some.integers() | some.none() | some.lists(_text, max_size=2),
    Reply: some.builds(Reply, some.sampled_from([250, 451, 550]), some.just("words\nmore"))
    | some.just(Reply(451, "Later", "4.7.1")),
    Content: some.builds(
        lambda prefix, body: Content(prefix, body, len(body)), some.binary(), some.binary()
    ),
}

READERS = [decode_envelope, decode_pending, *(partial(decode, kind) for kind in VALUES)]


def any_of(hint: Any) -> some.SearchStrategy[Any]:
    """Values of a type; of a dataclass with every field that it has, whatever they are."""
    if hint in _BY_TYPE:
        return _BY_TYPE[hint]
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return some.one_of(some.none() if each is NoneType else any_of(each) for each in inner)
    if origin is Literal:
        return some.sampled_from(inner)
    if origin is tuple:
        return some.lists(any_of(inner[0]), max_size=2).map(tuple)
    if origin is frozenset:
        return some.frozensets(any_of(inner[0]), max_size=3)
    if origin is not None and issubclass(origin, Mapping):
        return some.dictionaries(_text, any_of(inner[1]), max_size=2)
    if issubclass(hint, Enum):
        return some.sampled_from(list(hint))
    hints = get_type_hints(hint)
    return some.builds(hint, **{each.name: any_of(hints[each.name]) for each in fields(hint)})


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
@given(data=some.data())
def test_every_field_comes_back_as_it_was(kind, data):
    """Of every kind of value, whatever is in it."""
    value = data.draw(any_of(kind))
    again = decode(kind, encode(value))
    assert again == value
    # Some fields do not count when two values are compared.
    for each in fields(kind):
        assert getattr(again, each.name) == getattr(value, each.name)
    assert from_row(kind, json.loads(json.dumps(to_row(value)))) == value


@given(some.lists(any_of(Pending), min_size=1, max_size=3).map(tuple))
def test_waiting_recipients_come_back_as_they_were(pending):
    """All of a message together."""
    assert decode_pending(encode_pending(pending)) == pending


def test_a_mapping_is_not_shared():
    """What was left out is another empty one each time."""
    first, second = (decode(Client, encode(Client("192.0.2.1"))) for _ in range(2))
    assert first.signals == {}
    assert first.signals is not second.signals


def test_what_was_written_before_is_read():
    """The form of version 1, as it lies in queues."""
    octets = (
        b'{"v":1,"id":"M1","client":{"address":"192.0.2.7","port":54321,"hello":"h","tls":'
        b'["TLSv1.3","AES",""],"signals":{"ptr":"none"}},"sender":["alice","client.example"],'
        b'"recipients":[{"at":["bob","example.org"],"notify":["DELAY"],"from":[["all","b.example"]]'
        b'}],"size":4000,"body":"8BITMIME","received":123.5}'
    )
    client = Client("192.0.2.7", 54321, hello="h", tls=Tls("TLSv1.3", "AES"),
                    signals={"ptr": "none"})  # fmt: skip
    bob = Recipient(
        Mailbox("bob", "example.org"), frozenset({"DELAY"}), None, (Mailbox("all", "b.example"),)
    )
    expected = Envelope("M1", client, Mailbox("alice", "client.example"), (bob,), 4000, "8BITMIME",
                        received=123.5)  # fmt: skip
    assert decode_envelope(octets) == expected
    octets = (
        b'{"v":1,"pending":[{"to":{"at":["bob","example.org"]},"due":12.5,"attempts":3,'
        b'"last":[451,"Greylisted","4.7.1"],"remote":"mx.example","warned":true}]}'
    )
    later = Reply(451, "Greylisted", "4.7.1")
    who = Recipient(Mailbox("bob", "example.org"))
    assert decode_pending(octets) == (Pending(who, 12.5, 3, later, "mx.example", True),)


def test_what_json_has_no_form_for_is_text():
    """An event's facts may be anything; a log line needs no more."""
    told = decode(Event, encode(Event(1.0, "queue", "accepted", facts={"to": Mailbox("a", "b")})))
    assert told.facts == {"to": "a@b"}


def test_content_must_be_at_hand():
    """What would have to be opened is not written."""
    with pytest.raises(TypeError, match="at hand"):
        encode(Content(b"", lambda: None, 5))


@given(some.binary(max_size=200))
def test_garbage_is_damage(octets):
    """Nothing but Damaged is raised, whatever the octets are."""
    for read in READERS:
        with pytest.raises(Damaged):
            read(octets)


_JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(max_size=5),
    lambda inner: (
        some.lists(inner, max_size=4)
        | some.dictionaries(
            some.sampled_from(["to", "at", "due", "last", "client", "sender", "pending", "id"]),
            inner,
            max_size=4,
        )
    ),
)


@given(some.dictionaries(some.sampled_from(["id", "client", "sender", "recipients", "pending",
                                            "size", "signals"]), _JSON))  # fmt: skip
def test_wrong_shapes_are_damage(row):
    """JSON that is not what was written is as bad as none."""
    octets = json.dumps({"v": 1, **row}).encode()
    for read in READERS:
        try:
            read(octets)
        except Damaged:
            continue
        assert read(octets)


@pytest.mark.parametrize(
    "field",
    [{"port": "x"}, {"protocol": 1}, {"tls": ["a"]}, {"tls": "abc"}, {"signals": []}],
)
def test_a_field_of_another_type_is_damage(field):
    """A number where a text was is not taken for one."""
    row = json.loads(encode_envelope(Envelope("M1", Client("192.0.2.1"), None)))
    row["client"].update(field)
    with pytest.raises(Damaged):
        decode_envelope(json.dumps(row).encode())

"""The parts of the SQLite queue, each by itself."""

from __future__ import annotations

import errno
import json
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mailframe.message import Client, Envelope, Pending, Recipient, Tls
from mailframe.smtp.address import Mailbox
from mailframe.smtp.reply import Reply
from mailframe_plugins.sqlite_store.codec import (
    Damaged,
    decode_envelope,
    decode_pending,
    encode_envelope,
    encode_pending,
)
from mailframe_plugins.sqlite_store.errors import damage, is_damage, is_full, translated
from mailframe_plugins.sqlite_store.leases import Lease, Leases
from mailframe_plugins.sqlite_store.stored import searchable, waiting

_text = some.text(max_size=30)
_mailbox = some.builds(Mailbox, _text, _text)
_signals = some.dictionaries(_text, _text, max_size=3)
_number = some.floats(allow_nan=False, allow_infinity=False)
_recipient = some.builds(
    Recipient,
    _mailbox,
    some.none() | some.frozensets(some.sampled_from(["NEVER", "SUCCESS", "FAILURE", "DELAY"])),
    some.none() | _text,
    some.lists(_mailbox, max_size=3).map(tuple),
    some.none() | _mailbox,
)
_client = some.builds(
    Client,
    _text,
    some.integers(0, 65535),
    _text,
    _text,
    some.integers(0, 65535),
    _text,
    _text,
    _text,
    some.none() | some.builds(Tls, _text, _text, _text),
    some.none() | _text,
    _signals,
)
_envelope = some.builds(
    Envelope,
    _text,
    _client,
    some.none() | _mailbox,
    some.lists(_recipient, max_size=3).map(tuple),
    some.none() | some.integers(0),
    some.sampled_from(["7BIT", "8BITMIME", "BINARYMIME"]),
    some.booleans(),
    some.sampled_from([None, "FULL", "HDRS"]),
    some.none() | _text,
    some.none() | _text,
    _number,
    _signals,
)
_reply = some.builds(Reply, some.sampled_from([250, 451, 550]), some.just("words\nmore"))
_pending = some.builds(
    Pending, _recipient, _number, some.integers(0), some.none() | _reply, _text, some.booleans()
)


@given(_envelope)
def test_an_envelope_comes_back_as_it_was(envelope):
    """Every field, whatever is in it."""
    assert decode_envelope(encode_envelope(envelope)) == envelope


@given(some.lists(_pending, min_size=1, max_size=3).map(tuple))
def test_waiting_recipients_come_back_as_they_were(pending):
    """Every field, whatever is in it."""
    assert decode_pending(encode_pending(pending)) == pending


@given(some.binary(max_size=200))
def test_garbage_is_damage(octets):
    """Nothing but Damaged is raised, whatever the octets are."""
    for decode in (decode_envelope, decode_pending):
        with pytest.raises(Damaged):
            decode(octets)


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
    for decode in (decode_envelope, decode_pending):
        try:
            decode(octets)
        except Damaged:
            continue
        assert decode(octets)


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


def test_leases_are_taken_back():
    """undo() restores what was put and dropped since begin()."""
    leases = Leases()
    leases.put("A", Lease(10.0, 1, 0.0, False))
    leases.begin()
    leases.put("A", Lease(20.0, 1, 0.0, False))
    leases.put("B", Lease(5.0, 2, 0.0, False))
    leases.drop("A")
    assert leases.keys() == {2}
    leases.undo()
    assert leases.get("A") == Lease(10.0, 1, 0.0, False)
    assert "B" not in leases
    assert leases.first_end() == 10.0
    assert leases.ended(9.0) == []
    assert [lease.key for lease in leases.ended(10.0)] == [1]
    assert len(leases) == 0
    assert leases.first_end() is None


def _error(code):
    error = sqlite3.OperationalError("words")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "number"),
    [(13, errno.ENOSPC), (8, errno.EROFS), (14, errno.EACCES), (5, errno.EAGAIN),
     (10, errno.EIO), (10 | 12 << 8, errno.EIO), (19, errno.EEXIST), (1, errno.EIO)],
)  # fmt: skip
def test_errors_are_told_as_the_system_would(code, number):
    """OSError with the errno that the contract asks for."""
    told = translated(_error(code), 1 << 30)
    assert isinstance(told, OSError)
    assert told.errno == number
    assert "words" in str(told)


def test_an_io_error_on_a_full_disk_is_a_full_disk():
    """SQLite's shared memory cannot say why it does not grow."""
    assert translated(_error(10), 4096).errno == errno.ENOSPC
    assert is_full(_error(10))
    assert is_full(OSError(errno.EDQUOT, "quota"))
    assert not is_full(ValueError())


def test_others_errors_are_left_as_they_are():
    """A bug stays a bug."""
    bug = TypeError("bug")
    assert translated(bug, 0) is bug
    assert not is_damage(bug)
    assert is_damage(damage("we saw it"))


def test_what_is_found_by():
    """One domain is named, several are not; addresses are in lower case between line feeds."""

    def row(*addresses):
        return waiting([Pending(Recipient(Mailbox(*each)), 5.0) for each in addresses])

    assert row(("A", "x.example"), ("b", "x.example")).domain == "x.example"
    assert row(("A", "x.example"), ("b", "y.example")).domain == ""
    assert row(("A", "x\n.example")).domain == ""
    assert row(("A", "x.example")).addresses == b"\na@x.example\n"
    assert searchable([Mailbox("Ü", "x.example")]) == "\nü@x.example\n".encode()

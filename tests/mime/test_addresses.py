"""Who a field names, if that is clear."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailframe.mime.addresses import read


@pytest.mark.parametrize(
    ("value", "addresses"),
    [
        (b" a@b.example\r\n", [("", "a@b.example")]),
        (b" A. B <a.b@c.example>\r\n", [("A. B", "a.b@c.example")]),
        (b'"B, \\"C" <a@b>,\r\n c@d', [('B, "C', "a@b"), ("", "c@d")]),
        (b"a (b@c) @ (d) e . f (g (h))", [("", "a@e.f")]),
        (b"team: a@b, C <c@d>;, e@f", [("", "a@b"), ("C", "c@d"), ("", "e@f")]),
        (b"undisclosed-recipients:;", []),
        (b"<@x.example,@y.example:a@b>", [("", "a@b")]),
        (b'"a b"@c.example', [("", '"a b"@c.example')]),
        (b"a@[192.0.2.1]", [("", "a@[192.0.2.1]")]),
        (b",, a@b,, ,", [("", "a@b")]),
        ("Jürgen <jürgen@b.example>".encode(), [("Jürgen", "jürgen@b.example")]),
        (b"J\xfcrgen <a@b>", [("J\ufffdrgen", "a@b")]),
        (b"=?utf-8?q?a=40b?= <c@d>", [("=?utf-8?q?a=40b?=", "c@d")]),
        (b"a..b.@c.example.", [("", "a..b.@c.example.")]),
        (b"", []),
    ],
)
def test_clear_fields(value: bytes, addresses: list[tuple[str, str]]) -> None:
    """RFC 5322 sections 3.4 and 4.4; RFC 6532 for UTF-8."""
    found = read(value)
    assert found.clear
    assert [tuple(address) for address in found.addresses] == addresses


def test_elements_are_counted() -> None:
    """A group is one, whoever is in it; nothing is none."""
    assert [read(value).elements for value in (b"", b"a:;", b"a: b@c, d@e;, f@g")] == [0, 1, 2]


@pytest.mark.parametrize(
    "value",
    [
        b"alice",
        b"alice@",
        b"@b",
        b"a@b <c@d>",
        b"<a@b",
        b"a@b>",
        b"<>",
        b"<a@b> c@d",
        b"a@b c@d",
        b"a@b; c@d",
        b"a b@c",
        b'a"b"@c',
        b'"a@b',
        b"a@b (",
        b"a@b )",
        b"a@b \\",
        b"group: a@b",
        b"g: h: a@b;;",
        b":a@b;",
        b"a@b\rFrom: c@d",
        b"a\0@b",
        b"a\xff@b",
        b".@b",
        b"a@[b",
        b"=?utf-8?q?eve?=@b",
    ],
)
def test_what_is_not_clear_is_said_to_be_so(value: bytes) -> None:
    """Two readers could see two authors in it, or none."""
    assert read(value) == ((), 0, False)


_PIECES = ["a", "@", "<", ">", ",", ":", ";", ".", '"', "\\", "(", ")", "[", "]", " ", "\r\n ", "é"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(_PIECES)).map(lambda pieces: "".join(pieces).encode()))
def test_garbage_never_raises(value: bytes) -> None:
    """Whatever is clear has an @ in each address, and no comment."""
    found = read(value)
    assert all("@" in address.spec for address in found.addresses)
    assert len(found.addresses) <= value.count(b"@")


@pytest.mark.parametrize("piece", [b"(", b'"', b"a@b,", b"<", b"a:", b"()", b"\\", b". "])
def test_no_field_takes_long(piece: bytes) -> None:
    """Time by the number of octets, and no stack overflows."""
    began = time.process_time()
    read(piece * 20_000)
    assert time.process_time() - began < 20  # were it quadratic, it would be minutes

"""Messages cut into their parts: the octets stay what they were."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailframe.mime.parts import Entity, cut

BODY = (
    b"preamble\r\n--b\r\nA: b\r\n\r\none\r\n--b  \r\n\r\ntwo\r\n--bc\r\n--b-\r\n\r\n--b--\r\n"
    b"epilogue\r\n--b\r\n"
)


def test_parts_and_what_is_between_them() -> None:
    """RFC 2046 section 5.1.1: the CRLF before a delimiter is the delimiter's."""
    multipart = cut(BODY, b"b")
    assert multipart.parts == [b"A: b\r\n\r\none", b"\r\ntwo\r\n--bc\r\n--b-\r\n"]
    assert multipart.closed and not multipart.tight
    assert multipart.pieces[0].octets == b"preamble"
    assert multipart.pieces[-1].octets == b"epilogue\r\n--b\r\n"


@pytest.mark.parametrize(
    ("body", "parts", "closed"),
    [
        (b"", [], False),
        (b"no parts", [], False),
        (b"--b--", [], True),
        (b"--b", [b""], False),
        (b"--b\r\nx", [b"x"], False),
        (b"--b\r\n\r\n--b--", [b""], True),
        (b"--b\r\nx\n--b--\r\n", [b"x\n--b--\r\n"], False),
    ],
)
def test_odd_bodies(body: bytes, parts: list[bytes], closed: bool) -> None:
    """Without parts, without an end, with lines of LF."""
    multipart = cut(body, b"b")
    assert (multipart.parts, multipart.closed) == (parts, closed)


def test_delimiters_without_anything_between() -> None:
    """Such a part has not even an empty line."""
    assert cut(b"--b\r\n--b\r\nx\r\n--b--", b"b").tight
    assert cut(b"--b\r\n--b--", b"b").tight
    assert not cut(b"--b\r\n\r\n--b--", b"b").tight


_PIECES = [b"--b", b"--b--", b"--", b"\r\n", b"\n", b" ", b"x", b"--bb", b"b", b"\xff"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(_PIECES)).map(b"".join), st.sampled_from([b"b", b"bb", b".*", b""]))
def test_cut_and_joined_it_is_the_same(body: bytes, boundary: bytes) -> None:
    """And garbage never raises."""
    multipart = cut(body, boundary)
    assert b"".join(piece.octets for piece in multipart.pieces) == body
    assert multipart.parts == [piece.octets for piece in multipart.pieces if piece.is_part]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=30).filter(lambda part: b"--b" not in part), max_size=5))
def test_joined_and_cut_it_is_the_same(parts: list[bytes]) -> None:
    """What was put between delimiters comes out again."""
    body = b"".join(b"\r\n--b\r\n" + part for part in parts) + b"\r\n--b--\r\n"
    assert cut(body, b"b").parts == parts


def test_an_entity() -> None:
    """RFC 2045 section 2.4: header section and body, and what the fields say of the body."""
    entity = Entity.of(
        b"Content-Type: a/b; x=y\r\nX: 1\r\ncontent-TYPE: c/d\r\n"
        b"Content-Transfer-Encoding:\r\n base64\r\n\r\nbody"
    )
    assert (entity.type.type, entity.encoding, entity.body) == ("a/b", "base64", b"body")
    assert (entity.count(b"content-type"), entity.count(b"date")) == (2, 0)
    assert (entity.value(b"x"), entity.value(b"date")) == (b" 1\r\n", None)
    assert entity.without(b"content-type") == (b"X: 1\r\nContent-Transfer-Encoding:\r\n base64\r\n")
    bare = Entity.of(b"\r\nbody")
    assert (bare.head, bare.type.type, bare.encoding) == (b"", "text/plain", "7bit")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_octets_are_an_entity(octets: bytes) -> None:
    """Put together, it is what it was."""
    entity = Entity.of(octets)
    assert entity.head + entity.gap + entity.body == octets
    assert entity.without(b"no-such-field") == entity.head
    assert entity.type.type and entity.encoding is not None

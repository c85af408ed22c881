"""Content-Type and its kin, as they are and as they should be."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailframe.mime.parameters import content_type, decoded, read, transfer_encoding


@pytest.mark.parametrize(
    ("value", "kind", "texts"),
    [
        (b" Text/HTML; Charset=UTF-8\r\n", "text/html", {"charset": "UTF-8"}),
        (b'a/b; x="a;b\\"c"; y=z', "a/b", {"x": 'a;b"c', "y": "z"}),
        (b"a/b;\r\n\tx = y ;z", "a/b", {"x": "y"}),
        (b"a/b (no (really); x=y) ; (c) x=z (d)", "a/b", {"x": "z"}),
        (b"a / b; x=y", "a/b", {"x": "y"}),
        (b"a/b; name=my file(1).txt", "a/b", {"name": "my file(1).txt"}),
        (b"a/b; x=1; X=2", "a/b", {"x": "1"}),
        (b'a/b; x="never ends; y=z', "a/b", {"x": "never ends; y=z"}),
        (b'a/b; x=""', "a/b", {"x": ""}),
        (b"a/b;;; =y; x=y", "a/b", {"x": "y"}),
        ("a/b; name=grüße".encode(), "a/b", {"name": "grüße"}),
        (b"a/b; name=gr\xfc\xdfe", "a/b", {"name": "gr\ufffd\ufffde"}),
        (b"text; charset=x", "text/plain", {}),
        (b"/; charset=x", "text/plain", {}),
        (b"", "text/plain", {}),
        (b";", "text/plain", {}),
        (None, "text/plain", {}),
    ],
)
def test_types(value: bytes | None, kind: str, texts: dict[str, str]) -> None:
    """RFC 2045 section 5.1; what is broken is text/plain (section 5.2)."""
    read = content_type(value)
    assert (read.type, read.texts) == (kind, texts)
    assert read.main == kind.partition("/")[0]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (b"a; filename*=utf-8''gr%C3%BC%c3%9Fe", "grüße"),
        (b"a; filename*=iso-8859-1'de'gr%FC%DFe", "grüße"),
        (b'a; filename*0="one "; filename*1=two', "one two"),
        (b"a; filename*1*=%20two; filename*0*=utf-8''%c3%bc; filename*2=\" 3%20\"", "ü two 3%20"),
        (b"a; filename*0=one; filename*2=three", "one"),
        (b"a; filename=plain; filename*=utf-8''better", "better"),
        (b"a; filename*=x-nobody-knows''%c3%bc", "ü"),
        (b"a; filename*=undefined''%c3%bc", "ü"),
        (b"a; filename*=''%c3%bc", "ü"),
        (b"a; filename*=no-quotes%20%zz", "no-quotes %zz"),
        (b"a; filename*=utf-8''%ff", "\ufffd"),
        (b"a; filename*0*=utf-8''%c3; filename*1*=%bc", "ü"),
    ],
)
def test_long_and_encoded_values(value: bytes, name: str) -> None:
    """RFC 2231 sections 3 and 4."""
    _, parameters = read(value)
    assert decoded(parameters)["filename"] == name


def test_the_raw_parameters_are_kept() -> None:
    """In order, as the octets have them: others will show them so."""
    kind, parameters = read(b"Attachment; b*0*=utf-8''%20; A=\"\xff\"")
    assert kind == "attachment"
    assert parameters == ((b"b*0*", b"utf-8''%20"), (b"a", b"\xff"))


@pytest.mark.parametrize(
    ("value", "boundary"),
    [
        (b'multipart/mixed; boundary="a b:c "', b"a b:c"),
        (b"multipart/mixed; boundary=----=_Part_1(2)", b"----=_Part_1(2)"),
        (b"multipart/mixed; boundary*0=a; boundary*1=b", b"ab"),
        (b'multipart/mixed; boundary=""', None),
        (b"multipart/mixed", None),
    ],
)
def test_boundaries(value: bytes, boundary: bytes | None) -> None:
    """RFC 2046 section 5.1.1: their exact octets."""
    assert content_type(value).boundary == boundary


@pytest.mark.parametrize(
    ("value", "encoding"),
    [
        (None, "7bit"),
        (b" Base64\r\n", "base64"),
        (b" 8bit (whatever)\r\n", "8bit"),
        (b"\r\n quoted-printable", "quoted-printable"),
        (b"8bit; x", "8bit; x"),
        (b"\xff", "\ufffd"),
    ],
)
def test_transfer_encodings(value: bytes | None, encoding: str) -> None:
    """RFC 2045 section 6.1."""
    assert transfer_encoding(value) == encoding


_PIECES = [
    "a",
    "/",
    ";",
    "=",
    '"',
    "\\",
    "(",
    ")",
    "*",
    "0",
    "%",
    "'",
    " ",
    "\t",
    "utf-8''",
    "\xff",
]


@settings(deadline=None)
@given(st.lists(st.sampled_from(_PIECES)).map(lambda pieces: "".join(pieces).encode("latin-1")))
def test_garbage_never_raises(value: bytes) -> None:
    """There is a type, and a text for each parameter."""
    found = content_type(value)
    assert found.type.count("/") == 1
    assert all(isinstance(text, str) for text in found.texts.values())
    assert found.boundary is None or found.boundary in value.replace(b"\\", b"") or b"*" in value
    transfer_encoding(value)


@pytest.mark.parametrize("piece", [b";", b'; a="', b";a=(", b" (", b"\\", b'"', b"; a*0*=''%20"])
def test_no_value_takes_long(piece: bytes) -> None:
    """Time by the number of octets, for whatever strangers write."""
    began = time.process_time()
    content_type(b"a/b" + piece * 100_000).texts
    assert time.process_time() - began < 1
